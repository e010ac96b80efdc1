package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
)

// peerOrder is the body of POST /v1/peers/NAME/ACTION, where the action is
// enable, disable, reset or refresh.
type peerOrder struct {
	Kind     string   `json:"kind,omitempty"`     // of a reset: soft-in, soft-out or hard
	Families []string `json:"families,omitempty"` // of a refresh; none: all
	Reason   string   `json:"reason,omitempty"`   // for the neighbour's operator (RFC 9003)
}

// routeOrder is the body of POST /v1/announce and /v1/withdraw.
type routeOrder struct {
	Peer   string           `json:"peer,omitempty"`
	All    bool             `json:"all,omitempty"`
	Routes []AnnounceConfig `json:"routes"`
}

// ordered is the answer to both.
type ordered struct {
	Peers []string `json:"peers"`
}

// maxOrderBody bounds the body of an order.
const maxOrderBody = 32 << 20

var errNoSpeaker = &refusal{"this collector runs no BGP speaker"}

// answer writes v, or the error in one line with the status that it deserves.
func answer(w http.ResponseWriter, v any, err error) {
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		_ = encoder(w).Encode(v) // a client that has gone
		return
	}
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, speaker.ErrNoPeer), errors.Is(err, speaker.ErrNoSession), errors.Is(err, speaker.ErrRefreshNotNegotiated):
		status = http.StatusConflict
	default:
		if _, ok := errors.AsType[*refusal](err); ok {
			status = http.StatusConflict
		}
	}
	http.Error(w, oneLine(strings.TrimPrefix(err.Error(), "speaker: ")), status)
}

// readBody reads a JSON body; unknown fields are errors.
func readBody(r *http.Request, v any) error {
	body := http.MaxBytesReader(nil, r.Body, maxOrderBody)
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("the request's body: %w", err)
	}
	return nil
}

func (s *server) peers(w http.ResponseWriter, _ *http.Request) {
	dir, err := filepath.Abs(s.node.s.DataDir)
	answer(w, livePeers{
		Collector: s.node.s.Collector.Name, RouterID: s.node.s.bgp.speaker.RouterID.String(), DataDir: dir, Peers: s.node.bgp.peers(),
	}, err)
}

func (s *server) orderPeer(w http.ResponseWriter, r *http.Request) {
	var o peerOrder
	err := readBody(r, &o)
	if err == nil {
		err = s.node.bgp.order(r.PathValue("name"), r.PathValue("action"), o)
	}
	if err == nil {
		s.log.Info("bgp order", "audit", r.PathValue("action"), "peer", r.PathValue("name"), "kind", o.Kind, "reason", o.Reason)
	}
	answer(w, struct{}{}, err)
}

// order carries out what was ordered of a peer.
func (b *bgpNode) order(name, action string, o peerOrder) error {
	if b == nil {
		return errNoSpeaker
	}
	var families []bgp.Family
	var err error
	switch action {
	case "enable", "disable":
		return b.setAble(name, action == "enable", o.Reason)
	case "reset":
		kind := speaker.ResetHard
		if o.Kind != "" {
			if kind, err = speaker.ParseResetKind(o.Kind); err != nil {
				return err
			}
		}
		err = b.sp.Reset(name, kind, o.Reason)
	case "refresh":
		if families, err = parseFamilies(o.Families); err == nil {
			err = b.sp.Refresh(name, families...)
		}
	default:
		return fmt.Errorf("%q is not one of enable, disable, reset, refresh", action)
	}
	if errors.Is(err, speaker.ErrNoPeer) {
		_, err = b.find(name)
	}
	if errors.Is(err, speaker.ErrNoSession) {
		return fmt.Errorf("peer %s: %w", name, &refusal{"no session is established"})
	}
	return err
}

func (s *server) announcements(w http.ResponseWriter, _ *http.Request) {
	if s.node.bgp == nil {
		answer(w, nil, errNoSpeaker)
		return
	}
	answer(w, s.node.bgp.announced(), nil)
}

// orderRoutes is announce or withdraw.
func (s *server) orderRoutes(name string, do func(*bgpNode, string, []AnnounceConfig) ([]string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var o routeOrder
		err := readBody(r, &o)
		switch {
		case err != nil:
		case s.node.bgp == nil:
			err = errNoSpeaker
		case (o.Peer == "") != o.All:
			err = errors.New("say to whom: a peer, or all")
		case len(o.Routes) == 0:
			err = errors.New("no routes")
		default:
			var out ordered
			if o.Peer != "" {
				o.Peer, err = s.node.bgp.find(o.Peer)
			}
			if err == nil {
				out.Peers, err = do(s.node.bgp, o.Peer, o.Routes)
			}
			if err == nil {
				s.log.Info("bgp order", "audit", name, "routes", len(o.Routes), "peers", strings.Join(out.Peers, " "))
				answer(w, out, nil)
				return
			}
		}
		answer(w, nil, err)
	}
}
