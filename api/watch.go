package api

import (
	"context"

	"connectrpc.com/connect"

	"github.com/ribtap/ribtap/api/ribtapv1"
)

// Watch implements the service.
func (s service) Watch(ctx context.Context, req *connect.Request[ribtapv1.WatchRequest], out *connect.ServerStream[ribtapv1.WatchResponse]) error {
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
	from := req.Msg.GetFrom()
	if from == 0 {
		from = s.cfg.Stream.Last() + 1
	}
	rd := s.cfg.Stream.NewReader(from)
	defer rd.Close()
	// The client learns that it is heard before the first event comes.
	if err := out.Send(nil); err != nil {
		return s.sent(ctx, err)
	}
	b := newBatch(s.cfg.Collector, req.Header())
	send := func() error {
		m := &ribtapv1.WatchResponse{}
		if err := b.into(m); err != nil {
			return err
		}
		return s.sent(ctx, out.Send(m))
	}
	for live := false; ; {
		events, err := rd.Next(ctx)
		if err != nil {
			return s.ended(ctx, err)
		}
		for i := range events {
			if !wanted(&events[i]) {
				continue
			}
			if b.add(&events[i]); b.full() {
				if err := send(); err != nil {
					return err
				}
			}
		}
		if !b.empty() {
			if err := send(); err != nil {
				return err
			}
		}
		last := events[len(events)-1].Sequence
		if live = live || last >= s.cfg.Stream.Last(); live {
			if err := s.behind(last); err != nil {
				return err
			}
		}
	}
}
