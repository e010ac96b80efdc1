package api

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	"github.com/ribtap/ribtap/api/ribtapv1"
	"github.com/ribtap/ribtap/event"
)

// Sync implements the service.
func (s service) Sync(ctx context.Context, req *connect.Request[ribtapv1.SyncRequest], out *connect.ServerStream[ribtapv1.SyncResponse]) error {
	wanted, err := s.filter(req.Msg.GetFilter())
	if err != nil {
		return err
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := s.until(ctx)
	defer cancel()
	sy := &syncer{s: s.Server, ctx: ctx, out: out, wanted: wanted, b: newBatch(s.cfg.Collector, req.Header())}
	at := req.Msg.GetAfter()
	resumed := at.GetSequence() > 0 && s.at(ctx, at.GetSequence()) == at.GetReceivedAt()
	if err := sy.send(&ribtapv1.SyncResponse{Part: &ribtapv1.SyncResponse_Begin_{Begin: &ribtapv1.SyncResponse_Begin{Resumed: resumed}}}); err != nil {
		return err
	}
	last := at.GetSequence()
	if !resumed {
		if last, err = sy.dump(); err != nil {
			return err
		}
	}
	return sy.follow(last + 1)
}

// at returns the time received of the event with a sequence, 0 if it is not kept.
func (s *Server) at(ctx context.Context, sequence uint64) int64 {
	if sequence == 0 || sequence > s.cfg.Stream.Last() {
		return 0
	}
	rd := s.cfg.Stream.NewReader(sequence)
	defer rd.Close()
	events, err := rd.Next(ctx)
	if err != nil || events[0].Sequence != sequence || events[0].Kind == event.KindGap {
		return 0
	}
	return int64(events[0].Received)
}

// syncer is one stream of Sync.
type syncer struct {
	s      *Server
	ctx    context.Context
	out    *connect.ServerStream[ribtapv1.SyncResponse]
	wanted func(*event.Event) bool
	b      *batch
}

func (sy *syncer) send(m *ribtapv1.SyncResponse) error { return sy.s.sent(sy.ctx, sy.out.Send(m)) }

// dump sends the RIB, and returns the sequence of the event that it is behind.
func (sy *syncer) dump() (uint64, error) {
	s := sy.s
	if s.dumps.Add(1) > s.cfg.Limits.Dumps {
		s.dumps.Add(-1)
		s.cut.WithLabelValues(cutLimit).Inc()
		return 0, connect.NewError(connect.CodeResourceExhausted, errors.New("as many clients as may be are being sent the RIB; try again"))
	}
	defer s.dumps.Add(-1)
	t, err := s.cfg.Dump(sy.ctx)
	if err != nil {
		return 0, s.ended(sy.ctx, err)
	}
	defer t.Close()
	at := &ribtapv1.Position{Sequence: t.Sequence(), ReceivedAt: s.at(sy.ctx, t.Sequence())}
	send := func(last bool) error {
		d := &ribtapv1.SyncResponse_Dump{At: at, Last: last}
		if err := sy.b.into(d); err != nil {
			return err
		}
		return sy.send(&ribtapv1.SyncResponse{Part: &ribtapv1.SyncResponse_Dump_{Dump: d}})
	}
	err = t.Each(func(e *event.Event) error {
		if !sy.wanted(e) {
			return nil
		}
		if sy.b.add(e); sy.b.full() {
			return send(false)
		}
		return nil
	})
	if err == nil {
		err = send(true)
	}
	return t.Sequence(), err
}

// quiet is how long a client whose filter lets nothing through is not told where it
// stands.
const quiet = time.Second

// follow sends events from one on, for ever.
func (sy *syncer) follow(from uint64) error {
	s := sy.s
	rd := s.cfg.Stream.NewReader(from)
	defer rd.Close()
	told := time.Now()
	send := func(e *event.Event) error {
		l := &ribtapv1.SyncResponse_Live{At: &ribtapv1.Position{Sequence: e.Sequence, ReceivedAt: int64(e.Received)}}
		if err := sy.b.into(l); err != nil {
			return err
		}
		told = time.Now()
		return sy.send(&ribtapv1.SyncResponse{Part: &ribtapv1.SyncResponse_Live_{Live: l}})
	}
	for live := false; ; {
		events, err := rd.Next(sy.ctx)
		if err != nil {
			return s.ended(sy.ctx, err)
		}
		for i := range events {
			e := &events[i]
			if e.Kind == event.KindGap {
				s.cut.WithLabelValues(cutGap).Inc()
				return connect.NewError(connect.CodeAborted, errors.New("events are missing here: begin again without a position"))
			}
			if !sy.wanted(e) {
				continue
			}
			if sy.b.add(e); sy.b.full() {
				if err := send(e); err != nil {
					return err
				}
			}
		}
		last := &events[len(events)-1]
		if !sy.b.empty() || time.Since(told) >= quiet {
			if err := send(last); err != nil {
				return err
			}
		}
		if live = live || last.Sequence >= s.cfg.Stream.Last(); live {
			if err := s.behind(last.Sequence); err != nil {
				return err
			}
		}
	}
}
