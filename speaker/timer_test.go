package speaker

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// lastWords is how much later than its cause the end of a connection is seen: a
// probe of the socket, and a second in which the neighbour could read and close.
const lastWords = probeTime + drainTime

// between checks a time that has a tolerance.
func between(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s after %v, want %v to %v", what, got, low, high)
	}
}

func TestTimerHoldExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session()
		time.Sleep(60 * time.Second)
		p.Send(speakertest.Keepalive())
		begun := time.Now()
		time.Sleep(85 * time.Second)
		p.ExpectNotification(4, 0, "")
		between(t, "the end", time.Since(begun), 90*time.Second, 90*time.Second+lastWords)
		r.down(DownLocalNotification, 0, "0400")
	})
}

// TestTimerHoldOfTheSmaller takes the neighbour's hold time, which is less than ours.
func TestTimerHoldOfTheSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session(func(o *bgp.OpenParams) { o.HoldTime = 3 })
		begun := time.Now()
		for range 20 { // not more than one a second, whatever chance says
			p.Send(speakertest.Keepalive())
			p.Expect(bgp.MessageKeepalive)
		}
		between(t, "20 KEEPALIVEs", time.Since(begun), 20*time.Second, 20*time.Second)
		begun = begun.Add(19 * time.Second)
		p.ExpectNotification(4, 0, "")
		between(t, "the end", time.Since(begun), 3*time.Second, 3*time.Second+lastWords)
	})
}

func TestTimerKeepaliveInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session()
		p.Patience = 31 * time.Second
		last, shortest, longest := time.Now(), time.Hour, time.Duration(0)
		for range 400 {
			p.Send(speakertest.Keepalive())
			msg := p.Next()
			if bgp.MessageType(msg) != bgp.MessageKeepalive {
				t.Fatalf("got %x", msg)
			}
			d := time.Since(last)
			p.Patience = 31 * time.Second
			last, shortest, longest = time.Now(), min(shortest, d), max(longest, d)
		}
		// RFC 4271 §10: a third of the hold time, times 0.75 to 1.
		between(t, "the shortest interval", shortest, 22500*time.Millisecond, 23*time.Second)
		between(t, "the longest interval", longest, 29500*time.Millisecond, 30*time.Second)
	})
}

func TestTimerHoldZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session(func(o *bgp.OpenParams) { o.HoldTime = 0 })
		time.Sleep(24 * time.Hour)
		if n := p.Waiting(); n != 0 {
			t.Errorf("%d messages", n)
		}
		if st := r.s.Peers()[0]; st.State != Established || st.HoldTime != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestTimerDelayOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		begun := time.Now()
		p := r.call("192.0.2.1")
		p.Expect(bgp.MessageOpen)
		between(t, "our OPEN", time.Since(begun), 5*time.Second, 5*time.Second)
		p.Send(speakertest.Open(65001, "192.0.2.1"), speakertest.Keepalive())
		p.Expect(bgp.MessageKeepalive)
		<-r.h.up
	})
}

func TestTimerMirrorHasNoOpenOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer(func(p *Peer) { p.Mirror = true })))
		p := r.call("192.0.2.1")
		time.Sleep(4 * time.Second)
		p.ExpectClosed()
		p = r.call("192.0.2.1")
		p.Handshake(speakertest.Open(4200000009, "192.0.2.1"))
		if s := <-r.h.up; s.LocalASN != 4200000009 || s.Receive.Peering != bgp.PeeringInternal {
			t.Errorf("%+v", s)
		}
	})
}

// TestTimerFirstOctet: who says nothing at all has 30 s, who has begun has 4 minutes.
func TestTimerFirstOctet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		begun := time.Now()
		mute := r.call("192.0.2.1")
		time.Sleep(25 * time.Second)
		mute.Expect(bgp.MessageOpen)
		mute.ExpectNotification(4, 0, "")
		between(t, "the end", time.Since(begun), 30*time.Second, 30*time.Second+lastWords)

		slow := r.call("192.0.2.1")
		slow.SendHex("ff")
		time.Sleep(240 * time.Second)
		slow.Expect(bgp.MessageOpen)
		slow.ExpectNotification(4, 0, "")
		between(t, "the end", time.Since(begun), (31+240)*time.Second, (31+240+5)*time.Second+2*lastWords)
	})
}

// TestTimerSendHold is a neighbour that speaks and does not read (RFC 9687).
func TestTimerSendHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session()
		begun := time.Now()
		resume := p.StopReading()
		for range 16 {
			time.Sleep(29 * time.Second)
			p.Send(speakertest.Keepalive())
		}
		if len(r.h.downs) > 0 {
			t.Fatal("down before its time")
		}
		r.down(DownLocal, 29, "")
		// The last octets went out with the KEEPALIVE that the neighbour still took.
		between(t, "the end", time.Since(begun), 480*time.Second, 515*time.Second)
		resume()
	})
}

// TestTimerReceiverBlocks holds a receiver up for ten minutes: our KEEPALIVEs go
// on, and the neighbour's, which nobody reads, count when they are read.
func TestTimerReceiverBlocks(t *testing.T) {
	for _, alive := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newEngineRig(t, engineConfig(enginePeer()), func(r *engineRig) { r.h.block = make(chan struct{}) })
			p := r.session()
			p.Send(speakertest.HexMessage(t, bgp.MessageUpdate, "00000000"))
			if alive {
				go func() { // a pipe has no buffer: this one waits to be read
					_, _ = p.Conn().Write(speakertest.Keepalive())
				}()
			}
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if n := p.Waiting(); n < 20 || n > 27 {
				t.Errorf("%d KEEPALIVEs in 10 minutes", n)
			}
			for p.Waiting() > 0 {
				p.Expect(bgp.MessageKeepalive)
			}
			if st := r.s.Peers()[0]; st.State != Established || st.HoldLeft != 0 {
				t.Errorf("state %v, %v left", st.State, st.HoldLeft)
			}
			released := time.Now()
			close(r.h.block)
			if !alive {
				p.ExpectNotification(4, 0, "")
				between(t, "the end", time.Since(released), 0, 2*time.Second)
				r.down(DownLocalNotification, 0, "0400")
				return
			}
			time.Sleep(89 * time.Second)
			if st := r.s.Peers()[0]; st.State != Established {
				t.Errorf("state %v: %s", st.State, st.LastError)
			}
			time.Sleep(2 * time.Second)
			p.ExpectNotification(4, 0, "")
		})
	}
}

// TestTimerReceiverSlow gives a receiver more than it can do in the hold time with
// one read, and KEEPALIVEs behind it, which are there in time and read much later.
func TestTimerReceiverSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()), func(r *engineRig) { r.h.pause = 20 * time.Second })
		p := r.session()
		const messages = 30
		p.Send(bytes.Repeat(speakertest.HexMessage(t, bgp.MessageUpdate, "00000000"), messages))
		go func() { // a pipe has no buffer: this one waits to be read
			_, _ = p.Conn().Write(speakertest.Keepalive())
		}()
		time.Sleep(messages*20*time.Second + 80*time.Second)
		if st := r.s.Peers()[0]; st.State != Established || st.Received.Updates != messages {
			t.Errorf("state %v: %s", st.State, st.LastError)
		}
		for p.Waiting() > 0 {
			p.Expect(bgp.MessageKeepalive)
		}
		time.Sleep(10 * time.Second)
		p.ExpectNotification(4, 0, "")
	})
}

// TestTimerBlockedReceiverLeaves ends a session while its receiver blocks: the
// neighbour hears at once, the receiver when it is ready, and the next session of
// the neighbour begins behind that.
func TestTimerBlockedReceiverLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()), func(r *engineRig) { r.h.block = make(chan struct{}) })
		p := r.session()
		p.Send(speakertest.HexMessage(t, bgp.MessageUpdate, "00000000"))
		synctest.Wait()
		if err := r.s.Reset("one", ResetHard, ""); err != nil {
			t.Fatal(err)
		}
		p.ExpectNotification(6, 4, "")
		p = r.call("192.0.2.1")
		p.Handshake(speakertest.Open(65001, "192.0.2.1"))
		time.Sleep(80 * time.Second)
		if n := p.Waiting(); n < 2 {
			t.Errorf("%d messages while the last session is being ended", n)
		}
		if len(r.h.up) > 0 || len(r.h.downs) > 0 {
			t.Error("the receiver was called")
		}
		close(r.h.block)
		synctest.Wait()
		r.want("up 192.0.2.1 65001", "UPDATE 00000000", "flush", "down 1 0 false", "up 192.0.2.1 65001")
	})
}

func active(p *Peer) { p.Active, p.DelayOpen = true, 0 }

// TestTimerConnectRetry is a neighbour whose network swallows the SYN.
func TestTimerConnectRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials []time.Time
		newEngineRig(t, engineConfig(enginePeer(active)), func(r *engineRig) {
			r.s.connect = func(ctx context.Context, _ *Peer, to netip.AddrPort) (net.Conn, error) {
				if to.String() != "192.0.2.1:179" {
					t.Errorf("dial to %v", to)
				}
				dials = append(dials, time.Now())
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if len(dials) < 60 || len(dials) > 80 {
			t.Errorf("%d dials", len(dials))
		}
		for i := range dials[1:] {
			between(t, "a dial", dials[i+1].Sub(dials[i]), 22500*time.Millisecond, 30*time.Second)
		}
	})
}

// TestTimerBackOff is a neighbour that refuses.
func TestTimerBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials []time.Time
		r := newEngineRig(t, engineConfig(enginePeer(active)), func(r *engineRig) {
			r.s.connect = func(context.Context, *Peer, netip.AddrPort) (net.Conn, error) {
				dials = append(dials, time.Now())
				return nil, errors.New("refused")
			}
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 120, 120} {
			if got := dials[i+1].Sub(dials[i]); got != want*time.Second {
				t.Errorf("dial %d after %v, want %v", i+1, got, want*time.Second)
			}
		}
		if st := r.s.Peers()[0]; st.Attempts != uint64(len(dials)) || st.LastError != "refused" || st.Connections != 0 {
			t.Errorf("%+v", st)
		}
		// A reset does not wait for the pause.
		n := len(dials)
		if err := r.s.Reset("one", ResetHard, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if len(dials) != n+1 {
			t.Errorf("%d dials after a reset", len(dials)-n)
		}
	})
}

func TestTimerInitialDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var peers []Peer
		for i := range 100 {
			peers = append(peers, enginePeer(active, func(p *Peer) {
				p.Address = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 32)
				p.Name = p.Address.String()
			}))
		}
		cfg := engineConfig(peers...)
		cfg.InitialDelay = 5 * time.Second
		var dials atomic.Int64
		newEngineRig(t, cfg, func(r *engineRig) {
			r.s.connect = func(ctx context.Context, _ *Peer, _ netip.AddrPort) (net.Conn, error) {
				dials.Add(1)
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		time.Sleep(2500 * time.Millisecond)
		if n := dials.Load(); n < 25 || n > 75 {
			t.Errorf("%d of 100 dials in half of the time", n)
		}
		time.Sleep(2500 * time.Millisecond)
		if n := dials.Load(); n != 100 {
			t.Errorf("%d dials", n)
		}
	})
}
