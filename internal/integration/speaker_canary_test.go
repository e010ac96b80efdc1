//go:build integration

package integration

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSpeakerCanary has three neighbours with keys of their own. A candidate whose
// key for one of them is wrong, and a candidate that rejects the AS number of
// another, are gone within the time of the canary, with what was said of it; a
// harmless one stays.
func TestSpeakerCanary(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	keyed := func(name string, asn uint32, net byte) *peering {
		p := l.newPeering(name, asn, NewFeed(net, 4, 0))
		p.password = "key-of-" + name
		p.ribtap = []string{"password: " + p.password}
		return p
	}
	birdP, frrP, gobgpP := keyed("bird2", 65020, 240), keyed("frr84", 65030, 241), keyed("gobgp", 65040, 242)
	all := []*peering{birdP, frrP, gobgpP}
	birdP.passive = true // ribtap finds out by dialling
	rt := l.StartSpeaker("", all...)
	l.StartGoBGPSpeaker(installed, gobgpP)
	l.StartBirdSpeaker(bird2, birdP, birdMore{only4: true})
	l.StartFRRSpeaker(installed, frrP, frrMore{only4: true})
	up := func() {
		l.t.Helper()
		for _, p := range all {
			l.await("the routes of "+p.name, 40*time.Second, func() error {
				s, err := rt.session(p.name)
				if err == nil && (s.State != "established" || s.Routes != len(p.feed.routes)) {
					err = fmt.Errorf("%s with %d routes", s.State, s.Routes)
				}
				return err
			})
		}
	}
	up()
	right := string(must(os.ReadFile(l.path("ribtap.yaml")))(t))
	apply := func(was, is, window string) error {
		l.t.Helper()
		text := strings.Replace(right, was, is, 1)
		if text == right {
			l.t.Fatalf("%q is not in the configuration", was)
		}
		_, err := output(rt.command("config", "apply", l.write("candidate.yaml", text), "--canary", window)...)
		return err
	}
	// history are the entries of `ribtap config history`.
	history := func() (words []string) {
		l.t.Helper()
		rows := must(cli[[]struct {
			By   string `json:"by"`
			Kept bool   `json:"kept"`
			Why  string `json:"why"`
		}](rt, "config", "history"))(l.t)
		for _, r := range rows {
			words = append(words, strings.TrimSpace(fmt.Sprintf("%s %t %s", r.By, r.Kept, r.Why)))
		}
		return words
	}
	// asItWas is nil when the file is, and an audit line of the log says why.
	asItWas := func(words ...string) error {
		text, err := os.ReadFile(l.path("ribtap.yaml"))
		if err == nil && string(text) != right {
			err = errors.New("the file is not what it was")
		}
		return errors.Join(err, rt.logHas(append([]string{"configuration reverted", "audit=apply"}, words...)...))
	}

	l.Run("wrong key", func(t *testing.T) {
		const words = "peer frr84 (%s): nothing was heard with the new key within 3s"
		err := apply(frrP.password, "another", "3s")
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(words, frrP.addr)) {
			t.Fatalf("the candidate: %v", err)
		}
		up()
		for _, p := range all {
			if s := must(rt.session(p.name))(t); s.Sessions != 1 {
				t.Errorf("%s had %d sessions, want none lost", p.name, s.Sessions)
			}
		}
		if err := asItWas("nothing was heard with the new key"); err != nil {
			t.Error(err)
		}
	})
	l.Run("wrong AS number", func(t *testing.T) {
		err := apply("remote_asn: 65020", "remote_asn: 65021", "2s")
		if err == nil || !strings.Contains(err.Error(), "peer bird2 ("+birdP.addr+"): its session did not come back within 2s") {
			t.Fatalf("the candidate: %v", err)
		}
		up()
		for _, p := range []*peering{frrP, gobgpP} {
			if s := must(rt.session(p.name))(t); s.Sessions != 1 {
				t.Errorf("%s had %d sessions, want none lost", p.name, s.Sessions)
			}
		}
		if err := asItWas("did not come back"); err != nil {
			t.Error(err)
		}
	})
	l.Run("harmless", func(t *testing.T) {
		if err := apply("  peers:\n", "  drain: true\n  peers:\n", "2s"); err != nil {
			t.Fatal(err)
		}
		up()
		if text := string(must(os.ReadFile(l.path("ribtap.yaml")))(t)); !strings.Contains(text, "drain: true") {
			t.Errorf("the file is not the candidate: %s", text)
		}
		list := history()
		if len(list) != 4 || !strings.HasPrefix(list[1], "apply false peer frr84") || !strings.HasPrefix(list[2], "apply false peer bird2") || list[3] != "apply true" {
			t.Errorf("history %q", list)
		}
	})
	rt.Stop()
}
