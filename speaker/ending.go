package speaker

import (
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// ending collects why a connection ends.
type ending struct {
	event   fsmEvent
	text    string
	said    []byte // NOTIFICATION to send
	heard   []byte // NOTIFICATION received
	remote  bool   // the neighbour closed the connection
	removed bool
	stop    bool
	// notification is the one said or heard.
	notification bgp.Notification
}

// words says how it ended, for people; wrote is about what was to be said.
func (e *ending) words(wrote bool) string {
	switch {
	case e.heard != nil:
		return "received " + string(e.notification.AppendText(nil))
	case e.said != nil:
		text := "sent " + string(e.notification.AppendText(nil))
		if !wrote {
			text = "could not send " + string(e.notification.AppendText(nil))
		}
		if e.text != "" {
			text += " (" + e.text + ")"
		}
		return text
	case e.text != "":
		return e.text
	}
	return "connection closed"
}

// down returns the ending in the terms of RFC 7854 §4.9. A NOTIFICATION that could
// not be written was not sent.
func (e *ending) down(wrote bool) Down {
	d := Down{At: time.Now(), Text: e.words(wrote), Stop: e.stop}
	switch {
	case e.heard != nil:
		d.Reason, d.Notification = DownRemoteNotification, e.heard
	case wrote:
		d.Reason, d.Notification = DownLocalNotification, e.said
	case e.remote:
		d.Reason = DownRemote
	default:
		d.Reason, d.FSMEvent = DownLocal, e.event.number()
	}
	if e.removed {
		d.Reason, d.FSMEvent = DownDeconfigured, 0
	}
	return d
}

// closedByRemote tells a connection that the neighbour closed from one that failed
// on the way.
func closedByRemote(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// ceaseOf returns a Cease, with a shutdown communication where the subcode has one.
func ceaseOf(subcode uint8, text string) bgp.Notification {
	n, _ := bgp.ParseNotification(bgp.AppendCeaseText(nil, subcode, text))
	return n
}

// endsRoutes reports whether a NOTIFICATION is of those after which the routes are
// not to be kept for a restart, because nobody means the session to come back soon.
func endsRoutes(n bgp.Notification) bool {
	if n.Code != bgp.ErrorCease {
		return false
	}
	switch n.Subcode {
	case bgp.CeaseMaxPrefixes, bgp.CeaseAdminShutdown, bgp.CeasePeerDeconfigured, bgp.CeaseAdminReset:
		return true
	}
	return false
}

// hardReset encapsulates the NOTIFICATION that is meant in a Hard Reset, after which
// no routes are kept (RFC 8538 §3.1).
func hardReset(n bgp.Notification) bgp.Notification {
	return bgp.Notification{
		Code: bgp.ErrorCease, Subcode: bgp.CeaseHardReset, Data: append([]byte{n.Code, n.Subcode}, n.Data...),
	}
}

// close ends the connection or the attempt to make one. Others see that the FSM is
// Idle before the neighbour has read the NOTIFICATION.
func (r *runner) close() {
	r.hangUp()
	c := r.c
	if c == nil {
		return
	}
	r.show()
	wrote := false
	if r.ending.said != nil {
		wrote = c.finish(r.ending.said)
		if wrote {
			r.nb.sp.metrics.notification(r.ending.notification.Code, sent)
		}
	}
	d := r.ending.down(wrote)
	c.drop(d, wrote)
	r.nb.sp.release()
	r.nb.failed(d.Text)
	if r.session != nil {
		if time.Since(r.session.Since) >= longestPause {
			r.failed = 0
		}
		r.nb.log().Info("session down", "reason", d.Reason, "event", d.FSMEvent, "text", d.Text)
	} else {
		r.nb.log().Debug("connection ended", "text", d.Text)
	}
	r.old = append(r.old, c)
	r.c, r.session, r.beacon, r.mute = nil, nil, time.Time{}, time.Time{}
}

// announce tells the writer what is to be announced now. Commands and this come from
// one queue, so nothing that changes is missed.
func (r *runner) announce() {
	if r.session == nil {
		return
	}
	p, next := r.nb.config().announcingAt(time.Now())
	r.beacon = next
	r.c.out.announce(p)
}

// establish hands the session over: the reader gets it with its next reply.
func (r *runner) establish() {
	c := r.c
	s := negotiate(c.peer, c.open, c.heard)
	s.Local, s.Remote, s.Dialled, s.Since = c.local, c.remote, c.dialled, time.Now()
	r.session, r.bare = s, false
	r.nb.sessions.Add(1)
	r.nb.sp.metrics.established.Inc()
	c.out.begin(s)
	r.announce()
	r.nb.log().Info("session established", "as", s.RemoteASN, "id", s.RemoteID, "hold", s.HoldTime, "families", s.Families)
}
