package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/ribtap/ribtap/api/rislive"
)

const (
	// risFrame bounds what a client sends at once, risSubscriptions how many
	// subscriptions it has.
	risFrame         = 16 << 10
	risSubscriptions = 100
)

// risSocket is a client of RIS Live's protocol on a WebSocket.
type risSocket struct {
	s    *server
	conn *websocket.Conn

	mu         sync.Mutex
	wanted     []rislive.Subscription
	subscribed chan struct{} // closed with the first one
}

// risFrameIn and risFrameOut are the frames of either side.
type (
	risFrameIn struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	risFrameOut struct {
		Type string `json:"type"`
		Data any    `json:"data"`
	}
	risError struct {
		Message string `json:"message"`
	}
)

// risWebSocket is GET /v1/ws/.
func (s *server) risWebSocket(w http.ResponseWriter, r *http.Request) {
	if !s.tails.enter(w) {
		return
	}
	defer s.tails.leave()
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	conn.SetReadLimit(risFrame)
	c := &risSocket{s: s, conn: conn, subscribed: make(chan struct{})}
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	said := make(chan struct{})
	go func() {
		defer close(said)
		defer cancel()
		c.listen(ctx)
	}()
	reason := c.follow(ctx)
	code := websocket.StatusNormalClosure
	if reason != "" {
		code = websocket.StatusPolicyViolation
		_ = c.send(context.WithoutCancel(ctx), "ris_error", risError{reason})
	}
	_ = conn.Close(code, "") // a client that has gone
	<-said
}

// listen takes what the client says until it goes.
func (c *risSocket) listen(ctx context.Context) {
	for {
		kind, b, err := c.conn.Read(ctx)
		if err != nil {
			return
		}
		var in risFrameIn
		if kind != websocket.MessageText {
			err = errors.New("a frame is not text")
		} else if err = json.Unmarshal(b, &in); err == nil {
			err = c.order(ctx, &in)
		}
		if err != nil && c.send(ctx, "ris_error", risError{err.Error()}) != nil {
			return
		}
	}
}

func (c *risSocket) order(ctx context.Context, in *risFrameIn) error {
	switch in.Type {
	case "ping":
		return c.send(ctx, "pong", nil)
	case "request_rrc_list":
		return c.send(ctx, "ris_rrc_list", []string{c.s.node.s.Collector.Name})
	case "ris_subscribe", "ris_unsubscribe":
		sub, err := rislive.ParseSubscription(in.Data)
		if err != nil {
			return err
		}
		if in.Type == "ris_unsubscribe" {
			c.forget(&sub)
			return nil
		}
		if err := c.want(&sub); err != nil {
			return err
		}
		if sub.Options.Acknowledge {
			options := sub.Options
			sub.Options = rislive.Options{}
			return c.send(ctx, "ris_subscribe_ok", map[string]any{"subscription": sub, "socketOptions": options})
		}
		return nil
	}
	return fmt.Errorf("type %q is not one of ris_subscribe, ris_unsubscribe, request_rrc_list, ping", in.Type)
}

func (c *risSocket) want(sub *rislive.Subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.wanted) == risSubscriptions {
		return fmt.Errorf("there are %d subscriptions already", risSubscriptions)
	}
	c.wanted = append(c.wanted, *sub)
	if len(c.wanted) == 1 {
		select {
		case <-c.subscribed:
		default:
			close(c.subscribed)
		}
	}
	return nil
}

// forget ends the subscription that is the same, or all of them for an empty one.
func (c *risSocket) forget(sub *rislive.Subscription) {
	text := func(s rislive.Subscription) string {
		s.Options = rislive.Options{}
		b, err := json.Marshal(s)
		if err != nil {
			return ""
		}
		return string(b)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = slices.DeleteFunc(c.wanted, func(s rislive.Subscription) bool { return text(*sub) == "{}" || text(s) == text(*sub) })
}

// match reports whether a subscription wants the message, and one of those the octets.
func (c *risSocket) match(m *rislive.Message) (ok, raw bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.wanted {
		if c.wanted[i].Match(m) {
			ok, raw = true, raw || c.wanted[i].Options.IncludeRaw
		}
	}
	return ok, raw
}

func (c *risSocket) send(ctx context.Context, kind string, data any) error {
	b, err := json.Marshal(risFrameOut{kind, data})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.s.tails.limits.write)
	defer cancel()
	return c.conn.Write(ctx, websocket.MessageText, b)
}

// follow sends what is subscribed to, from the first subscription on, and returns why
// it ended; empty when the client went.
func (c *risSocket) follow(ctx context.Context) string {
	select {
	case <-c.subscribed:
	case <-ctx.Done():
		return c.s.tailEnd(ctx, ctx.Err())
	}
	return c.s.risFollow(ctx, func(m *rislive.Message, raw func() string) error {
		ok, octets := c.match(m)
		if !ok {
			return nil
		}
		if octets {
			m.Raw = raw()
		}
		err := c.send(ctx, "ris_message", m)
		if errors.Is(err, context.DeadlineExceeded) {
			return errSlow
		}
		return err
	})
}

var errSlow = errors.New("the client took nothing for too long")

// risFollow hands over the messages of what comes next.
func (s *server) risFollow(ctx context.Context, give func(m *rislive.Message, raw func() string) error) string {
	rd := s.node.stream.NewReader(s.node.stream.Last() + 1)
	defer rd.Close()
	enc := rislive.Encoder{Host: s.node.s.Collector.Name}
	for {
		batch, err := rd.Next(ctx)
		if err != nil {
			return s.tailEnd(ctx, err)
		}
		for i := range batch {
			m, ok := enc.Message(&batch[i])
			if !ok {
				continue
			}
			err := give(&m, func() string { return rislive.Raw(&batch[i]) })
			if errors.Is(err, errSlow) {
				return s.cut(errSlow.Error())
			}
			if err != nil {
				return ""
			}
		}
		if last, now := batch[len(batch)-1].Sequence, s.node.stream.Last(); now > last+s.tails.limits.lag {
			return s.cut(fmt.Sprintf("too slow: %d events behind", now-last))
		}
	}
}

// risStream is GET /v1/stream/: the messages of one subscription, from the header
// X-RIS-Subscribe, as lines of JSON.
func (s *server) risStream(w http.ResponseWriter, r *http.Request) {
	if err := knownParams(r.URL.Query(), []string{"format", "client"}); err != nil {
		answer(w, nil, err)
		return
	}
	sub, err := rislive.ParseSubscription([]byte(r.Header.Get("X-RIS-Subscribe")))
	if f := r.URL.Query().Get("format"); err == nil && f != "" && f != "json" {
		err = fmt.Errorf("format %q is not json", f)
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	if !s.tails.enter(w) {
		return
	}
	defer s.tails.leave()
	ctx, cancel := s.untilStop(r.Context())
	defer cancel()
	out := newLineWriter(w, framing{})
	if err := out.write(nil, s.tails.limits.write); err != nil {
		return
	}
	reason := s.risFollow(ctx, func(m *rislive.Message, raw func() string) error {
		if !sub.Match(m) {
			return nil
		}
		if sub.Options.IncludeRaw {
			m.Raw = raw()
		}
		return out.value(risFrameOut{"ris_message", m}, s.tails.limits.write)
	})
	if reason != "" {
		_ = out.value(risFrameOut{"ris_error", risError{reason}}, time.Second)
	}
}
