//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSpeakerCollision has both sides dial: whoever comes first, one session is
// left, and it stays (RFC 4271 §6.8, RFC 6286 §2.3).
func TestSpeakerCollision(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	peer := func(name string, asn uint32, net byte, n int, id string) *peering {
		p := l.newPeering(name, asn, NewFeed(net, n, n).targeted())
		p.both, p.ribtap = true, []string{"router_id: " + id}
		return p
	}
	// The daemons are 10.0.0.20 to 60: towards some ribtap has the higher
	// identifier, towards others the lower.
	const higher, lower = "10.0.0.99", "10.0.0.1"
	birdP, bird3P, frrP, frr10P := peer("bird2", 65020, 180, 8, higher), peer("bird3", 65022, 181, 8, lower), peer("frr84", 65030, 182, 8, lower), peer("frr103", 65031, 183, 8, higher)
	frr10P.addr, frr10P.port = "::1", l.freePort("::1")
	gobgpP, openP := peer("gobgp", 65040, 184, 2, lower), peer("openbgpd", 65060, 185, 8, lower)
	openP.feed.ofOpenBGPD(openP)
	rt := l.NewSpeaker("", birdP, bird3P, frrP, frr10P, gobgpP, openP)
	daemons := []contestant{
		{gobgpP, l.StartGoBGPSpeaker(installed, gobgpP)},
		{openP, l.StartOpenBGPD(openP, "")},
		{birdP, l.StartBirdSpeaker(bird2, birdP, birdMore{})},
		{bird3P, l.StartBirdSpeaker(bird3new, bird3P, birdMore{})},
		{frrP, l.StartFRRSpeaker(installed, frrP, frrMore{})},
		{frr10P, l.StartFRRSpeaker(newer, frr10P, frrMore{})},
	}
	rt.Start()
	for round := 1; round <= 3; round++ {
		l.Run(fmt.Sprint(round), func(t *testing.T) {
			for _, c := range daemons {
				l.await(c.name+" to agree", 40*time.Second, func() error {
					s, err := rt.session(c.name)
					if err == nil && s.Sessions != round {
						err = fmt.Errorf("%d sessions, want %d: %s", s.Sessions, round, s.LastError)
					}
					return errors.Join(err, c.agrees())
				})
			}
			// Nobody is told of a session that was not wanted after all.
			rt.settle()
			for _, c := range daemons {
				if events := must(rt.peerEvents(c.addr, 0))(t); len(events) != 2*round-1 {
					t.Errorf("%s: %d ups and downs, want %d", c.name, len(events), 2*round-1)
				}
			}
			// GoBGP and OpenBGPD take half a minute to come back, the latter from the
			// second time on.
			daemons = withoutPeer(daemons, []*peering{gobgpP, openP, nil}[round-1])
			if round < 3 {
				for _, c := range daemons {
					rt.order("peer", "reset", c.name)
				}
			}
		})
	}
	rt.Stop()
}

func withoutPeer(list []contestant, p *peering) (out []contestant) {
	for _, c := range list {
		if c.peering != p {
			out = append(out, c)
		}
	}
	return out
}

// TestSpeakerCollectorRestarts ends ribtap in order and by SIGKILL: what it hears
// again of its neighbours is no news, and what they lost meanwhile is withdrawn.
func TestSpeakerCollectorRestarts(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	peer := func(name string, asn uint32, net byte) *peering {
		return l.newPeering(name, asn, NewFeed(net, 24, 12).targeted())
	}
	birdP, frrP, exaP := peer("bird2", 65020, 190), peer("frr84", 65030, 191), peer("exabgp", 65050, 192)
	rt := l.StartSpeaker("", birdP, frrP, exaP)
	daemons := []contestant{
		{exaP, l.StartExaBGP(exaP)},
		{birdP, l.StartBirdSpeaker(bird2, birdP, birdMore{})},
		{frrP, l.StartFRRSpeaker(installed, frrP, frrMore{})},
	}
	for _, c := range daemons {
		l.await(c.name+" to agree", 40*time.Second, c.agrees)
	}
	for _, way := range []struct {
		name string
		end  func()
	}{{"stopped", rt.Stop}, {"killed", func() { rt.proc.Kill() }}} {
		l.Run(way.name, func(t *testing.T) {
			before := rt.settle()
			way.end()
			gone := map[string][]string{}
			for _, c := range daemons {
				gone[c.name] = append(c.feed.remove(false, 2, 2), c.feed.remove(true, 1, 1)...)
				c.is.withdraw(gone[c.name]...)
			}
			rt.Start()
			for _, c := range daemons {
				l.await(c.name+" to agree", 40*time.Second, c.agrees)
				if err := c.saidAgain(of(must(rt.changes(before.sequence))(t), c.addr), gone[c.name], ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	rt.Stop()
}

// TestSpeakerEndsSessions looks at what BIRD and FRR say that they were told when
// ribtap ends a session (RFC 4486, RFC 9003), and has one fall silent.
func TestSpeakerEndsSessions(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	birdP, frrP, silentP := l.newPeering("bird2", 65020, NewFeed(200, 4, 4)), l.newPeering("frr84", 65030, NewFeed(201, 4, 4)), l.newPeering("silent", 65021, NewFeed(202, 4, 4))
	silentP.ribtap = []string{"hold_time: 3s"}
	all := []*peering{birdP, frrP, silentP}
	rt := l.StartSpeaker("", all...)
	bird, frr := l.StartBirdSpeaker(bird2, birdP, birdMore{}), l.StartFRRSpeaker(installed, frrP, frrMore{})
	silent := l.StartBirdSpeaker(bird2, silentP, birdMore{})
	up := func() {
		l.t.Helper()
		l.await("the sessions", 40*time.Second, func() error { return rt.established(birdP.name, frrP.name) })
	}
	up()
	l.await("the third session", 20*time.Second, func() error { return rt.established(silentP.name) })
	// told awaits what both say of their last session.
	told := func(birdWords, frrWords, text string) {
		l.t.Helper()
		l.await("BIRD to say why", 10*time.Second, func() error {
			out, err := bird.ctl("show", "protocols", "all", "session")
			if err == nil && (!strings.Contains(out, birdWords) || !strings.Contains(out, text)) {
				err = fmt.Errorf("no %q with %q in %s", birdWords, text, clip(out, 1500))
			}
			return err
		})
		l.await("FRR to say why", 10*time.Second, func() error {
			out, err := frr.vtysh("show bgp neighbors json")
			if err != nil {
				return err
			}
			var n map[string]struct {
				Reason string `json:"lastNotificationReason"`
				Text   string `json:"lastShutdownDescription"`
			}
			if err := json.Unmarshal(out, &n); err != nil {
				return err
			}
			if got := n["127.0.0.1"]; got.Reason != frrWords || got.Text != text {
				return fmt.Errorf("FRR was told %q %q, want %q %q", got.Reason, got.Text, frrWords, text)
			}
			return nil
		})
	}

	l.Run("silence", func(t *testing.T) {
		before := rt.settle()
		if err := silent.proc.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		down := rt.awaitDown(silentP.addr, before.sequence)
		if err := silent.proc.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		const localNotification = 1 // RFC 7854 §4.9
		if down.ReasonCode == nil || *down.ReasonCode != localNotification || down.NotifCode == nil || *down.NotifCode != 4 {
			t.Errorf("down %+v, want the local system's Hold Timer Expired", down)
		}
		rt.awaitRoutes("the routes once more", 20*time.Second, silentP.wanted()...)
	})
	l.Run("disable", func(*testing.T) {
		for _, p := range []*peering{birdP, frrP} {
			rt.order("peer", "disable", p.name, "--reason", "T-42")
		}
		told("Administrative shutdown", "Cease/Administrative Shutdown", "T-42")
		for _, p := range []*peering{birdP, frrP} {
			rt.order("peer", "enable", p.name)
		}
		up()
	})
	l.Run("reset", func(*testing.T) {
		for _, p := range []*peering{birdP, frrP} {
			rt.order("peer", "reset", p.name, "--reason", "T-43")
		}
		told("Administrative reset", "Cease/Administrative Reset", "T-43")
		up()
	})
	l.Run("changed", func(*testing.T) {
		birdP.ribtap, frrP.ribtap = []string{"hold_time: 60s"}, []string{"hold_time: 60s"}
		rt.Reconfigure("", all...)
		told("Other configuration change", "Cease/Other Configuration Change", "")
		up()
	})
	l.Run("removed", func(t *testing.T) {
		before := rt.settle()
		rt.Reconfigure("", silentP)
		told("Peer de-configured", "Cease/Peer De-configured", "")
		for _, p := range []*peering{birdP, frrP} {
			rt.awaitDown(p.addr, before.sequence)
			rt.awaitRoutes("the routes to go", 10*time.Second, listing{p.view(false), Table{}}, listing{p.view(true), Table{}})
		}
		if err := rt.established(silentP.name); err != nil {
			t.Error(err)
		}
	})
	rt.Stop()
}
