//go:build integration

package integration

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

// TestSpeakerMD5 has daemons with the right key, a wrong one and none, a key of a
// range, and keys that change while sessions are up (RFC 2385).
func TestSpeakerMD5(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	const key = "lab-secret"
	keyed := func(name string, asn uint32, net byte, n int) *peering {
		p := l.newPeering(name, asn, NewFeed(net, n, n).targeted())
		p.password, p.ribtap = key, []string{"password: " + key}
		return p
	}
	birdP, frrP, gobgpP := keyed("bird2", 65020, 120, 8), keyed("frr84", 65030, 121, 8), keyed("gobgp", 65040, 122, 2)
	exaP, openP, frr6P, calledP := keyed("exabgp", 65050, 123, 8), keyed("openbgpd", 65060, 124, 8), keyed("frr103", 65031, 125, 8), keyed("called", 65032, 126, 8)
	openP.feed.ofOpenBGPD(openP)
	frr6P.addr, frr6P.port = "::1", l.freePort("::1")
	calledP.passive = true
	wrongP, noneP, unknownP := keyed("badkey", 65023, 127, 2), keyed("nokey", 65024, 128, 2), keyed("unasked", 65025, 129, 2)
	wrongP.password = "another"
	noneP.password = ""
	// The same of other daemons.
	frrWrong, gobgpWrong, exaWrong := keyed("badfrr", 65033, 131, 2), keyed("badgobgp", 65041, 132, 2), keyed("badexa", 65051, 133, 2)
	frrNone, gobgpNone := keyed("openfrr", 65034, 134, 2), keyed("opengobgp", 65042, 135, 2)
	frrWrong.password, gobgpWrong.password, exaWrong.password = "another", "another", "another"
	frrNone.password, gobgpNone.password = "", ""
	others := []*peering{frrWrong, gobgpWrong, exaWrong, frrNone, gobgpNone}
	unknownP.ribtap = nil
	// rangeP is let in by the key and the entry of a range.
	rangeP := keyed("within", 65026, 130, 8)
	rangeP.addr = "127.17.0.9"
	rangeP.port = l.freePort(rangeP.addr)
	rangeEntry := *rangeP
	rangeEntry.name, rangeEntry.addr = "range", "127.17.0.0/24"
	birdP.ribtap = append(birdP.ribtap, "hold_time: 9s")
	all := []*peering{birdP, frrP, gobgpP, exaP, openP, frr6P, calledP, wrongP, noneP, unknownP, &rangeEntry}
	all = append(all, others...)
	rt := l.StartSpeaker("", all...)
	rangeP.rt, rangeP.to = rangeEntry.rt, rangeEntry.to
	dropped := func() map[string]float64 {
		out := map[string]float64{}
		for _, reason := range []string{"failure", "not-found", "unexpected"} {
			out[reason] = must(rt.metric(`ribtap_tcp_md5_total{result="` + reason + `"}`))(t)
		}
		return out
	}
	before := dropped()

	daemons := []contestant{
		{openP, l.StartOpenBGPD(openP, "")},
		{gobgpP, l.StartGoBGPSpeaker(installed, gobgpP)},
		{exaP, l.StartExaBGP(exaP)},
		{frrP, l.StartFRRSpeaker(installed, frrP, frrMore{})},
		{frr6P, l.StartFRRSpeaker(newer, frr6P, frrMore{})},
		{calledP, l.StartFRRSpeaker(installed, calledP, frrMore{})},
	}
	bird := l.StartBirdSpeaker(bird2, birdP, birdMore{})
	daemons = append(daemons, contestant{rangeP, l.StartBirdSpeaker(bird2, rangeP, birdMore{})})
	for _, p := range []*peering{wrongP, noneP, unknownP} {
		l.StartBirdSpeaker(bird2, p, birdMore{})
	}
	l.StartFRRSpeaker(installed, frrWrong, frrMore{})
	l.StartFRRSpeaker(installed, frrNone, frrMore{})
	l.StartGoBGPSpeaker(installed, gobgpWrong)
	l.StartGoBGPSpeaker(installed, gobgpNone)
	l.StartExaBGP(exaWrong)
	l.Run("right", func(*testing.T) {
		for _, c := range daemons {
			l.Run(c.name, func(*testing.T) { l.await(c.name+" to agree", 40*time.Second, c.agrees) })
		}
		rt.awaitRoutes("BIRD's routes", 20*time.Second, birdP.wanted()...)
	})
	l.Run("wrong and none", func(t *testing.T) {
		l.await("the kernel to have dropped segments of all three kinds", 20*time.Second, func() error {
			var errs []error
			for reason, n := range dropped() {
				if n <= before[reason] {
					errs = append(errs, fmt.Errorf("none for %s", reason))
				}
			}
			return errors.Join(errs...)
		})
		for _, p := range append([]*peering{wrongP, noneP, unknownP}, others...) {
			if s := must(rt.session(p.name))(t); s.Connections != 0 || s.State != "active" {
				t.Errorf("%s is %s after %d connections, want active after none", p.name, s.State, s.Connections)
			}
		}
	})
	l.Run("keys change", func(t *testing.T) {
		since := rt.settle()
		// Those that were wrong are right now; bird's own is another than ribtap's.
		var righted []string
		for _, p := range append([]*peering{wrongP}, others...) {
			p.ribtap = nil
			if p.password != "" {
				p.ribtap = []string{"password: " + p.password}
			}
			righted = append(righted, p.name)
		}
		birdP.ribtap[0] = "password: changed"
		rt.Reconfigure("", all...)
		l.await("the reload", 10*time.Second, func() error { return rt.logHas("configuration reloaded") })
		if err := rt.established(birdP.name); err != nil {
			t.Errorf("the session whose key has changed: %v", err)
		}
		birdP.password = "changed"
		bird.Reload()
		l.await("a session with the new key", 30*time.Second, func() error {
			s, err := rt.session(birdP.name)
			if err == nil && (s.Sessions != 2 || s.State != "established") {
				err = fmt.Errorf("session %d is %s (%s)", s.Sessions, s.State, s.LastError)
			}
			return err
		})
		rt.awaitRoutes("BIRD's routes", 20*time.Second, birdP.wanted()...)
		rt.awaitRoutes("routes from who had the wrong key", 20*time.Second, wrongP.wanted()...)
		// They had been trying all the time.
		l.await("the others that had a wrong key, or none", 60*time.Second, func() error { return rt.established(righted...) })
		for _, c := range daemons {
			if events := must(rt.peerEvents(c.addr, since.sequence))(t); len(events) != 0 {
				t.Errorf("%s, whose key is the same, had %+v", c.name, events)
			}
		}
	})
	rt.Stop()
}

// TestSpeakerGTSM has daemons that send with a TTL of 255, and a dialler that does
// not (RFC 5082).
func TestSpeakerGTSM(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	secure := func(name string, asn uint32, net byte, n int) *peering {
		p := l.newPeering(name, asn, NewFeed(net, n, n).targeted())
		p.gtsm, p.ribtap = true, []string{"ttl_security: true"}
		return p
	}
	birdP, frrP, gobgpP := secure("bird2", 65020, 131, 8), secure("frr84", 65030, 132, 8), secure("gobgp", 65040, 133, 2)
	exaP, openP, frr6P, calledP := secure("exabgp", 65050, 134, 8), secure("openbgpd", 65060, 135, 8), secure("frr103", 65031, 136, 8), secure("called", 65021, 137, 8)
	openP.feed.ofOpenBGPD(openP)
	frr6P.addr, frr6P.port = "::1", l.freePort("::1")
	calledP.passive = true
	farP := secure("far", 65070, 138, 0)
	rt := l.StartSpeaker("", birdP, frrP, gobgpP, exaP, openP, frr6P, calledP, farP)
	daemons := []contestant{
		{openP, l.StartOpenBGPD(openP, "")},
		{gobgpP, l.StartGoBGPSpeaker(installed, gobgpP)},
		{exaP, l.StartExaBGP(exaP)},
		{birdP, l.StartBirdSpeaker(bird2, birdP, birdMore{})},
		{calledP, l.StartBirdSpeaker(bird2, calledP, birdMore{})},
		{frrP, l.StartFRRSpeaker(installed, frrP, frrMore{})},
		{frr6P, l.StartFRRSpeaker(newer, frr6P, frrMore{})},
	}
	l.Run("far", func(t *testing.T) {
		if heard := dialAndOpen(t, farP); len(heard) != 0 {
			t.Errorf("ribtap said %x to a neighbour with TTL 64", heard)
		}
		s := must(rt.session(farP.name))(t)
		if s.Sessions != 0 || s.LastError != "" && s.Connections != 0 {
			t.Errorf("session: %+v", s)
		}
		l.await("the refusal to be counted", 5*time.Second, func() error {
			n, err := rt.metric(`ribtap_bgp_refused_total{reason="protection"}`)
			if err == nil && n != 1 {
				err = fmt.Errorf("%v connections refused for their TTL, want 1", n)
			}
			return err
		})
	})
	for _, c := range daemons {
		l.Run(c.name, func(*testing.T) { l.await(c.name+" to agree", 40*time.Second, c.agrees) })
	}
	rt.Stop()
}

// TestSpeakerGTSMFar has daemons dial that do not send with a TTL of 255: no octet
// of theirs is read (RFC 5082 §3). When ribtap asks for it no more they come in.
func TestSpeakerGTSMFar(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	far := func(name string, asn uint32, net byte, n int) *peering {
		p := l.newPeering(name, asn, NewFeed(net, n, n).targeted())
		p.ribtap = []string{"ttl_security: true"}
		return p
	}
	birdP, frrP, gobgpP := far("bird2", 65020, 160, 8), far("frr84", 65030, 161, 8), far("gobgp", 65040, 162, 2)
	exaP, openP := far("exabgp", 65050, 163, 8), far("openbgpd", 65060, 164, 8)
	openP.feed.ofOpenBGPD(openP)
	all := []*peering{birdP, frrP, gobgpP, exaP, openP}
	rt := l.StartSpeaker("", all...)
	// With the check for a connected neighbour off, FRR sends with a TTL of 1.
	near := []string{"no neighbor 127.0.0.1 ebgp-multihop", "neighbor 127.0.0.1 disable-connected-check"}
	daemons := []struct {
		contestant
		ttl int
	}{
		{contestant{openP, l.StartOpenBGPD(openP, "")}, 2},
		{contestant{gobgpP, l.StartGoBGPSpeaker(installed, gobgpP)}, 2},
		{contestant{exaP, l.StartExaBGP(exaP)}, 64},
		{contestant{birdP, l.StartBirdSpeaker(bird2, birdP, birdMore{session: "multihop 64;"})}, 64},
		{contestant{frrP, l.StartFRRSpeaker(installed, frrP, frrMore{router: near})}, 1},
	}
	for _, c := range daemons {
		l.Run("refused "+c.name, func(t *testing.T) {
			l.await("the refusal of "+c.name, 40*time.Second, func() error {
				return rt.logHas("connection refused", "peer="+c.name+" ", fmt.Sprintf("came with TTL %d, below 255", c.ttl))
			})
			if s := must(rt.session(c.name))(t); s.Connections != 0 || s.Sessions != 0 || s.State != "active" {
				t.Errorf("%s is %s after %d connections, want active after none", c.name, s.State, s.Connections)
			}
		})
	}
	l.Run("nothing read", func(t *testing.T) {
		if n := must(rt.metric(`ribtap_bgp_refused_total{reason="protection"}`))(t); n < float64(len(daemons)) {
			t.Errorf("%v connections refused for their TTL, want one of each daemon", n)
		}
		for _, direction := range []string{"received", "sent"} {
			for typ := bgp.MessageOpen; typ <= bgp.MessageRouteRefresh; typ++ {
				name := fmt.Sprintf("ribtap_bgp_messages_total{direction=%q,type=%q}", direction, bgp.MessageName(typ))
				if n := must(rt.metric(name))(t); n != 0 {
					t.Errorf("%s is %v", name, n)
				}
			}
		}
	})
	for _, p := range all {
		p.ribtap = nil
	}
	rt.reload(all...)
	for _, c := range daemons {
		l.Run("let in "+c.name, func(*testing.T) { l.await(c.name+" to agree", 40*time.Second, c.agrees) })
	}
	rt.Stop()
}

// dialAndOpen dials ribtap from the peer's address with this machine's TTL, sends
// an OPEN and a KEEPALIVE, and returns what came back before ribtap closed.
func dialAndOpen(t *testing.T, p *peering) []byte {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(p.addr)}}
	c, err := d.Dial("tcp", net.JoinHostPort(p.remote(), fmt.Sprint(p.to)))
	if err != nil {
		return nil // refused before it was a connection
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	open := bgp.AppendOpen(nil, bgp.OpenParams{AS: p.asn, AS4: true, HoldTime: 90, BGPID: netip.MustParseAddr("10.0.0.70")})
	// The other side may have closed already: then writing fails, and reading says so.
	_, _ = c.Write(bgp.AppendKeepalive(open))
	heard, err := io.ReadAll(c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("ribtap did not close the connection")
	}
	return heard
}
