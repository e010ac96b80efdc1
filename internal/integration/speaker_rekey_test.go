//go:build integration

package integration

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keyed is a daemon whose key of TCP MD5 can be another while it runs.
type keyed interface {
	announcer
	// rekey brings the password of its peering into force.
	rekey()
}

func (b *BirdSpeaker) rekey() { b.l.t.Helper(); b.Reload() }

func (f *FRRSpeaker) rekey() {
	f.l.t.Helper()
	f.configure(fmt.Sprintf("neighbor %s password %s", f.p.remote(), f.p.password))
}

func (g *GoBGPSpeaker) rekey() {
	g.l.t.Helper()
	g.l.write(g.name+".toml", g.config())
	g.l.signal(g.proc, syscall.SIGHUP)
}

func (e *ExaBGP) rekey() {
	e.l.t.Helper()
	e.l.write(e.p.name+".conf", e.config(e.l.path(e.p.name+".sh")))
	e.l.signal(e.proc, syscall.SIGUSR1)
}

// OpenBGPD's session keeps the old key until somebody ends it.
func (o *OpenBGPD) rekey() {
	o.l.t.Helper()
	o.write()
	o.do("reload")
	o.do("neighbor", o.p.remote(), "clear")
}

// signal sends a signal to a process of the lab.
func (l *Lab) signal(p *Proc, s os.Signal) {
	l.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		l.t.Fatalf("%s: %v", p.name, err)
	}
}

// keyedPeer is such a daemon, its session, and how that ends when the daemon gets
// another key.
type keyedPeer struct {
	contestant
	is    keyed
	cease int // subcode of its NOTIFICATION
	// graceful daemons announce graceful restart. From them ribtap takes a second
	// connection for a restart (RFC 4724 §4.2); others it refuses while the session
	// is up (RFC 4271 §6.8), so that they wait for the hold time, as does who only
	// waits to be dialled.
	graceful bool
}

func newKeyedPeer(p *peering, is keyed, cease int, graceful bool) keyedPeer {
	return keyedPeer{contestant{p, is}, is, cease, graceful}
}

// keyedPeers are one peering for each of five daemons.
type keyedPeers struct{ bird, frr, gobgp, exa, open *peering }

// newKeyed makes them, with feeds from net on; prepare sees each before its daemon
// does.
func (l *Lab) newKeyed(asn uint32, net byte, prepare func(p *peering)) keyedPeers {
	l.t.Helper()
	var made []*peering
	for i, d := range []struct {
		name   string
		routes int
	}{{"bird2", 8}, {"frr84", 8}, {"gobgp", 2}, {"exabgp", 8}, {"openbgpd", 8}} {
		p := l.newPeering(d.name, asn, NewFeed(net+byte(i), d.routes, d.routes).targeted())
		prepare(p)
		made = append(made, p)
	}
	made[4].feed.ofOpenBGPD(made[4])
	return keyedPeers{made[0], made[1], made[2], made[3], made[4]}
}

func (k *keyedPeers) all() []*peering { return []*peering{k.bird, k.frr, k.gobgp, k.exa, k.open} }

// start starts the daemons.
func (k *keyedPeers) start(l *Lab) []keyedPeer {
	l.t.Helper()
	return []keyedPeer{
		newKeyedPeer(k.open, l.StartOpenBGPD(k.open, ""), 4, true), // the slowest to dial
		newKeyedPeer(k.gobgp, l.StartGoBGPSpeaker(installed, k.gobgp), 6, false),
		newKeyedPeer(k.exa, l.StartExaBGP(k.exa), 3, false),
		newKeyedPeer(k.frr, l.StartFRRSpeaker(installed, k.frr, frrMore{}), 6, true),
		newKeyedPeer(k.bird, l.StartBirdSpeaker(bird2, k.bird, birdMore{}), 6, true),
	}
}

// came waits until ribtap has the daemon's routes again, and wants its session to
// have ended once, in this way, and to have begun once.
func (k *keyedPeer) came(l *Lab, since quiet, down string) {
	l.t.Helper()
	events := func() (got []string) {
		for _, e := range must(k.rt.peerEvents(k.addr, since.sequence))(l.t) {
			got = append(got, e.ending())
		}
		return got
	}
	l.await(k.name+" to be back", 40*time.Second, func() error {
		if got := events(); len(got) < 2 {
			return fmt.Errorf("it had %q", got)
		}
		return nil
	})
	l.await(k.name+" to agree", 20*time.Second, k.agrees)
	if got, want := events(), []string{down, "up"}; !slices.Equal(got, want) {
		l.t.Errorf("%s had %q, want %q", k.name, got, want)
	}
}

// lost is how the session of a daemon ends whose last message is signed with a key
// that ribtap has no more.
func (k *keyedPeer) lost() string {
	if k.graceful {
		return "down: local system closed, no NOTIFICATION"
	}
	return "down: local system closed, NOTIFICATION sent 4/0"
}

// ending says how a session went down, or that it is up.
func (e *PeerEvent) ending() string {
	if e.Event != "down" {
		return e.Event
	}
	if e.NotifCode == nil || e.NotifSubcode == nil {
		return "down: " + e.Reason
	}
	return fmt.Sprintf("down: %s %d/%d", e.Reason, *e.NotifCode, *e.NotifSubcode)
}

// reload gives ribtap its configuration anew and waits until it is in force.
func (r *Ribtap) reload(peers ...*peering) {
	r.l.t.Helper()
	before := r.reloads()
	r.Reconfigure("", peers...)
	r.l.await("the reload", 10*time.Second, func() error {
		if n := r.reloads(); n != before+1 {
			return fmt.Errorf("%d reloads, want %d", n, before+1)
		}
		return nil
	})
}

// reloads counts them, by ribtap's log.
func (r *Ribtap) reloads() int {
	r.l.t.Helper()
	text, err := os.ReadFile(r.l.path(r.name + ".log"))
	if err != nil {
		r.l.t.Fatal(err)
	}
	return strings.Count(string(text), `msg="configuration reloaded"`)
}

// TestSpeakerRekey changes the key of sessions that are up: at the neighbour first,
// at ribtap by mistake and back, and at ribtap first (RFC 2385).
func TestSpeakerRekey(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	peers := l.newKeyed(65020, 140, func(p *peering) {
		p.password, p.ribtap = "first", []string{"", "hold_time: 30s"}
		if p.name == "gobgp" || p.name == "exabgp" {
			p.ribtap[1] = "hold_time: 6s" // they have to wait for it
		}
	})
	calledP := l.newPeering("called", 65021, NewFeed(145, 8, 8).targeted())
	calledP.passive, calledP.password, calledP.ribtap = true, "first", []string{"", "hold_time: 6s"}
	all := append(peers.all(), calledP)
	key := func(word string) {
		for _, p := range all {
			p.ribtap[0] = "password: " + word
		}
	}
	key("first")
	rt := l.StartSpeaker("", all...)
	daemons := append(peers.start(l), newKeyedPeer(calledP, l.StartBirdSpeaker(bird217, calledP, birdMore{}), 6, false))
	each := func(what string, do func(k *keyedPeer)) {
		for i := range daemons {
			l.Run(what+" "+daemons[i].name, func(*testing.T) { do(&daemons[i]) })
		}
	}
	each("right", func(k *keyedPeer) { l.await(k.name+" to agree", 40*time.Second, k.agrees) })

	since := rt.settle()
	each("neighbour's key", func(k *keyedPeer) {
		k.password = "second"
		k.is.rekey()
		if down, want := rt.awaitDown(k.addr, since.sequence), fmt.Sprintf("down: remote system closed, NOTIFICATION received 6/%d", k.cease); down.ending() != want {
			l.t.Errorf("%s, want %s", down.ending(), want)
		}
	})
	key("second")
	rt.reload(all...)
	each("neighbour first", func(k *keyedPeer) {
		k.came(l, since, fmt.Sprintf("down: remote system closed, NOTIFICATION received 6/%d", k.cease))
	})

	since = rt.settle()
	key("mistaken")
	rt.reload(all...)
	for i := range daemons {
		k := &daemons[i]
		k.is.withdraw(append(k.feed.remove(false, 0, 1), k.feed.remove(true, 0, 1)...)...)
	}
	during := rt.settle()
	key("second")
	rt.reload(all...)
	each("mistake", func(k *keyedPeer) {
		l.await("what "+k.name+" withdrew meanwhile", 20*time.Second, k.agrees)
		if events := must(rt.peerEvents(k.addr, since.sequence))(l.t); len(events) != 0 {
			l.t.Errorf("a key that was there for a moment made %+v", events)
		}
		for _, r := range of(must(rt.changes(since.sequence))(l.t), k.addr) {
			if r.Sequence <= during.sequence {
				l.t.Errorf("%s of %s came while the key was another", r.Action, r.Prefix)
			}
		}
	})

	since = rt.settle()
	key("third")
	rt.reload(all...)
	if err := rt.established("bird2", "frr84", "gobgp", "exabgp", "openbgpd", "called"); err != nil {
		t.Errorf("sessions whose key has changed at ribtap: %v", err)
	}
	for i := range daemons {
		daemons[i].password = "third"
		daemons[i].is.rekey()
	}
	each("ribtap first", func(k *keyedPeer) { k.came(l, since, k.lost()) })
	rt.Stop()
}

// TestSpeakerRangeKey has daemons inside of a range that has one key. Others with
// another key are not heard of until it becomes the key of the range.
func TestSpeakerRangeKey(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	const asn = 65026
	host := 0
	within := func(p *peering) {
		host++
		p.addr = fmt.Sprintf("127.18.0.%d", host)
		p.port = l.freePort(p.addr)
	}
	peers := l.newKeyed(asn, 150, func(p *peering) { within(p); p.password = "first" })
	later := l.newKeyed(asn, 155, func(p *peering) { within(p); p.name, p.password = "later-"+p.name, "next" })
	entry := l.newPeering("range", asn, nil)
	entry.addr, entry.ribtap = "127.18.0.0/24", []string{"password: first", "hold_time: 12s"}
	rt := l.StartSpeaker("", entry)
	for _, p := range append(peers.all(), later.all()...) {
		p.rt, p.to = rt, entry.to
	}
	strangers := later.start(l)
	daemons := peers.start(l)
	each := func(what string, list []keyedPeer, do func(k *keyedPeer)) {
		for i := range list {
			l.Run(what+" "+list[i].name, func(*testing.T) { do(&list[i]) })
		}
	}
	each("right", daemons, func(k *keyedPeer) { l.await(k.name+" to agree", 40*time.Second, k.agrees) })
	each("wrong", strangers, func(k *keyedPeer) {
		l.await(k.name+" to try in vain", 20*time.Second, func() error {
			out, err := output("ss", "-Htn", "state", "syn-sent", "src", k.addr)
			if err == nil && len(out) == 0 {
				err = errors.New("it has no SYN without an answer")
			}
			return err
		})
		if events := must(rt.peerEvents(k.addr, 0))(l.t); len(events) != 0 {
			l.t.Errorf("a neighbour with a wrong key made %+v", events)
		}
	})

	since := rt.settle()
	entry.ribtap[0] = "password: next"
	rt.reload(entry)
	for i := range daemons {
		daemons[i].password = "next"
		daemons[i].is.rekey()
	}
	each("wrong is right", strangers, func(k *keyedPeer) {
		l.await(k.name+" to agree", 40*time.Second, k.agrees)
		if events := must(rt.peerEvents(k.addr, 0))(l.t); len(events) != 1 || events[0].Event != "up" {
			l.t.Errorf("%s had %+v, want an up", k.name, events)
		}
	})
	each("range first", daemons, func(k *keyedPeer) { k.came(l, since, k.lost()) })
	rt.Stop()
}
