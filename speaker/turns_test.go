package speaker

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// TestTurnsInOrder: with one turn at a time, who waits gets it in order.
func TestTurnsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurns()
		s.free = 1
		first := newTurn()
		s.take(first)
		var order []int
		for i := range 5 {
			go func() {
				mine := newTurn()
				s.take(mine)
				order = append(order, i) // one at a time
				s.give(mine)
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Errorf("%v did not wait", order)
		}
		s.give(first)
		synctest.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 3, 4}) {
			t.Errorf("order %v", order)
		}
		if s.free != 1 || len(s.working) != 0 {
			t.Errorf("%d free, %d at work", s.free, len(s.working))
		}
	})
}

// TestTurnsLost: who blocks loses the turn while somebody waits, and gives nothing
// back that is not there.
func TestTurnsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTurns()
		s.free = 2
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.run(ctx)
		stuck := []*turn{newTurn(), newTurn()}
		for _, x := range stuck {
			s.take(x)
		}
		time.Sleep(time.Hour) // nobody waits: they keep it
		if !stuck[0].held || !stuck[1].held {
			t.Error("lost while nobody waited")
		}
		for range 10 {
			begun := time.Now()
			mine := newTurn()
			s.take(mine)
			between(t, "a turn", time.Since(begun), 0, 2*turnLost)
			s.give(mine)
		}
		for _, x := range stuck {
			s.give(x)
			s.give(x)
		}
		if s.free != 2 || len(s.working) != 0 {
			t.Errorf("%d free, %d at work", s.free, len(s.working))
		}
		cancel()
		synctest.Wait()
		for range 10 { // the speaker stops: nobody waits any more
			s.take(newTurn())
		}
	})
}

// TestTurnsOfOthers: the receivers of some neighbours block for ten minutes, and
// another one is heard.
func TestTurnsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := engineConfig(enginePeer(func(p *Peer) { p.Address = netip.MustParsePrefix("192.0.2.0/24") }))
		r := newEngineRig(t, cfg, func(r *engineRig) { r.h.block, r.s.turns.free = make(chan struct{}), 1 })
		update := speakertest.HexMessage(t, bgp.MessageUpdate, "00000000")
		for i := range 10 {
			from := fmt.Sprintf("192.0.2.%d", i+1)
			p := r.call(from)
			p.Handshake(speakertest.Open(65001, from))
			<-r.h.up
			p.Send(update)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if n := r.h.blocked.Load(); n != 10 {
			t.Errorf("%d receivers were called, want 10", n)
		}
		close(r.h.block)
	})
}
