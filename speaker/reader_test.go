package speaker

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

// counting is a Receiver that counts.
type counting struct{ messages, flushes, most int }

func (c *counting) Message(time.Time, []byte) *Fault {
	c.messages++
	return nil
}

func (c *counting) Flush(context.Context) error {
	c.flushes++
	c.most = max(c.most, c.messages)
	c.messages = 0
	return nil
}

func (*counting) Down(context.Context, Down) error { return nil }

// engineReader is a reader of a session that is up, with a buffer that is full of
// what is given.
func engineReader(t *testing.T, r *engineRig, to Receiver, messages []byte) *reader {
	t.Helper()
	run := newRunner(r.s.table.order[0].neighbors[r.s.configured().Peers[0].Address.Addr()], false)
	c := newConn(run, nil, netip.AddrPort{}, netip.AddrPort{}, false)
	return &reader{
		conn: c, buf: messages, store: messages, limit: bgp.MaxMessageLen, receiver: to, received: time.Now(),
		session: &Session{}, turn: newTurn(),
	}
}

// TestReaderAllocatesNothing for a message of a session.
func TestReaderAllocatesNothing(t *testing.T) {
	r := newEngineRig(t, engineConfig(enginePeer()))
	one := append(speakertest.HexMessage(t, bgp.MessageUpdate, "00000000"), speakertest.Keepalive()...)
	to := &counting{}
	rd := engineReader(t, r, to, bytes.Repeat(one, 3000))
	if n := testing.AllocsPerRun(2500, func() {
		for range 2 {
			if err := rd.next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if to.flushes != 1 || to.most != flushMessages {
		t.Errorf("%d flushes of %d messages at most", to.flushes, to.most)
	}
}

// TestReaderFlushesByOctets: a batch is bounded also where messages are large.
func TestReaderFlushesByOctets(t *testing.T) {
	r := newEngineRig(t, engineConfig(enginePeer()))
	to := &counting{}
	rd := engineReader(t, r, to, bytes.Repeat(speakertest.Message(bgp.MessageUpdate, make([]byte, 4096-bgp.HeaderLen)), 300))
	for range 300 {
		if err := rd.next(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if to.flushes != 1 || to.most != flushOctets/4096 {
		t.Errorf("%d flushes of %d messages at most", to.flushes, to.most)
	}
}

// TestReaderBuffer sends messages of every size in pieces of every size.
func TestReaderBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session(func(o *bgp.OpenParams) { o.ExtendedMessage = true })
		var stream []byte
		messages := 0
		for n := 4; n < bgp.MaxExtendedMessageLen-bgp.HeaderLen; n += n/3 + 1 {
			body := bytes.Repeat([]byte{byte(n)}, n)
			stream = append(stream, speakertest.Message(bgp.MessageUpdate, body)...)
			messages++
		}
		for i, n := 0, 1; i < len(stream); i, n = i+n, n*2%70001+1 {
			p.Send(stream[i:min(i+n, len(stream))])
		}
		synctest.Wait()
		updates := 0
		for _, line := range r.h.all() {
			if len(line) > 7 && line[:7] == "UPDATE " {
				updates++
			}
		}
		if updates != messages {
			t.Errorf("%d messages of %d", updates, messages)
		}
		p.ExpectNothing(time.Second)
	})
}

// FuzzConversation lets a neighbour say anything, before and in a session: whatever
// it is, the speaker answers with a NOTIFICATION at most and takes the next one.
func FuzzConversation(f *testing.F) {
	open := speakertest.Open(65001, "192.0.2.1")
	f.Add([]byte{}, false)
	f.Add(open, false)
	f.Add(append(bytes.Clone(open), speakertest.Keepalive()...), false)
	f.Add(speakertest.Open(65001, "192.0.2.1", func(o *bgp.OpenParams) { o.HoldTime = 0 }), false)
	f.Add(speakertest.HexMessage(f, bgp.MessageUpdate, "00000000"), true)
	f.Add(speakertest.HexMessage(f, bgp.MessageRouteRefresh, "0001010100"), true)
	f.Add(speakertest.HexMessage(f, bgp.MessageNotification, "0602ff"), true)
	f.Fuzz(func(t *testing.T, said []byte, inSession bool) {
		synctest.Test(t, func(t *testing.T) {
			r := newEngineRig(t, engineConfig(enginePeer()))
			p := r.call("192.0.2.1")
			if inSession {
				p.Handshake(open)
				<-r.h.up
			}
			_ = p.Conn().SetWriteDeadline(time.Now().Add(time.Minute))
			_, _ = p.Conn().Write(said)
			time.Sleep(10 * time.Minute) // every timer has run out
			for p.Waiting() > 0 {
				p.Next()
			}
			if st := r.s.Peers()[0]; st.State == Established && st.HoldTime == 0 {
				return // as it wanted to be
			}
			p.ExpectClosed()
			if len(r.h.up) != len(r.h.downs) && !inSession {
				t.Errorf("%d sessions, %d ended", len(r.h.up), len(r.h.downs))
			}
			if st := r.s.Peers()[0]; st.State != Active {
				t.Errorf("state %v", st.State)
			}
			again := r.call("192.0.2.1")
			again.Handshake(open)
			<-r.h.up
		})
	})
}
