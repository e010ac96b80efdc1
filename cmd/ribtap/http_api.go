package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/ribtap/ribtap/api"
	"github.com/ribtap/ribtap/api/ribtapv1"
	"github.com/ribtap/ribtap/collector"
	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/stream"
)

// newAPI joins the service of package api to the daemon.
func (s *server) newAPI() *api.Server {
	n := s.node
	return api.New(api.Config{
		Collector: n.s.Collector.Name, Stream: apiStream{n.stream}, Status: s.apiStatus, Filter: apiFilter, Stopping: s.stopping, Limits: api.DefaultLimits(),
		Dump: func(ctx context.Context) (api.Table, error) {
			select {
			case <-n.restored:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			d, err := n.col.Dump()
			if err != nil {
				return nil, err
			}
			return apiTable{d}, nil
		},
	}, n.reg)
}

type apiStream struct{ *stream.Log }

func (s apiStream) NewReader(from uint64) api.Reader { return apiReader{s.Log.NewReader(from)} }

type apiReader struct{ *stream.Reader }

func (r apiReader) Close() { _ = r.Reader.Close() } // it was only read

type apiTable struct{ *collector.Dump }

func (t apiTable) Sequence() uint64                         { return t.Dump.Sequence }
func (t apiTable) Each(fn func(e *event.Event) error) error { return t.Events(fn) }

func (s *server) apiStatus() *ribtapv1.GetStatusResponse {
	st := s.node.status()
	m := &ribtapv1.GetStatusResponse{
		Collector: st.Collector, UptimeSeconds: int64(time.Since(s.start).Seconds()),
		Routers: uint64(st.Routers), PeersUp: uint64(st.PeersUp), Routes: uint64(st.Routes), Gaps: st.Gaps,
		Stream: &ribtapv1.GetStatusResponse_Stream{
			LastSequence: st.Stream.LastSequence, FirstSequence: st.Stream.FirstSequence, Bytes: st.Stream.Bytes, Error: st.Stream.Error,
		},
	}
	for _, k := range st.Sinks {
		m.Sinks = append(m.Sinks, &ribtapv1.GetStatusResponse_Sink{
			Name: k.Name, CommittedSequence: k.CommittedSequence, LagEvents: k.LagEvents, LagSeconds: k.LagSeconds, Healthy: k.Healthy, LastError: k.LastError,
		})
	}
	return m
}

// apiFilter is a filter of the schema as one of the commands.
func apiFilter(f *ribtapv1.Filter) (func(e *event.Event) bool, error) {
	v := url.Values{}
	for name, s := range map[string]string{
		"router": f.GetRouter(), "peer": f.GetPeer(), "rib": f.GetRib(), "family": f.GetFamily(), "prefix": f.GetPrefix(), "match": f.GetMatch(),
		"community": f.GetCommunity(), "as-path": f.GetAsPath(),
	} {
		v.Set(name, s)
	}
	for name, n := range map[string]uint32{"asn": f.GetAsn(), "origin-as": f.GetOriginAs()} {
		if n != 0 {
			v.Set(name, fmt.Sprint(n))
		}
	}
	parsed, err := parseFilter(v)
	if err != nil {
		return nil, err
	}
	m := &matcher{filter: parsed}
	return m.event, nil
}
