package main

import (
	"net/http"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"

	"github.com/ribtap/ribtap/api/ribtapv1"
	"github.com/ribtap/ribtap/api/ribtapv1/ribtapv1connect"
)

// TestAPIFilters: what is no filter is the client's error, in the words of the flags.
func TestAPIFilters(t *testing.T) {
	dir := isolated(t)
	d := startDaemon(t, filepath.Join(dir, "data"))
	c := ribtapv1connect.NewCollectorServiceClient(http.DefaultClient, "http://"+d.http)
	st, err := c.GetStatus(t.Context(), connect.NewRequest(&ribtapv1.GetStatusRequest{}))
	if err != nil || st.Msg.GetCollector() != "rt1" || len(st.Msg.GetSinks()) != 2 || !st.Msg.GetSinks()[0].GetHealthy() {
		t.Errorf("status: %v, %v", st, err)
	}
	for want, f := range map[string]*ribtapv1.Filter{
		`--peer "x": not an IP address`: {Peer: "x"},
		`--rib "in": not one of adj-rib-in-pre, adj-rib-in-post, loc-rib, adj-rib-out-pre, adj-rib-out-post`: {Rib: "in"},
		`--family "ipv4-unicats": unknown address family; nearest is ipv4-unicast`:                           {Family: "ipv4-unicats"},
		`"10.0.0.0/33" is neither a prefix nor an IP address`:                                                {Prefix: "10.0.0.0/33"},
		`--match "most": not one of exact, longest, longer, shorter`:                                         {Prefix: "10.0.0.0/8", Match: "most"},
		`--match "exact": needs a prefix or address`:                                                         {Match: "exact"},
		"--as-path \"(\": sqlite: AS path expression: error parsing regexp: missing closing ): `(`":          {AsPath: "("},
	} {
		w, err := c.Watch(t.Context(), connect.NewRequest(&ribtapv1.WatchRequest{Filter: f}))
		if err == nil {
			w.Receive()
			err = w.Err()
		}
		s, serr := c.Sync(t.Context(), connect.NewRequest(&ribtapv1.SyncRequest{Filter: f}))
		if serr == nil {
			s.Receive()
			serr = s.Err()
		}
		for _, err := range []error{err, serr} {
			if connect.CodeOf(err) != connect.CodeInvalidArgument || err.Error() != "invalid_argument: "+want {
				t.Errorf("%v: %v, want %s", f, err, want)
			}
		}
	}
}
