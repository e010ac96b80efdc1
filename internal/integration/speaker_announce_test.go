//go:build integration

package integration

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"
)

// hearer is a daemon that tells what it has from ribtap.
type hearer interface{ heard() (Table, error) }

// announced is a route that ribtap announces, in its configuration.
func announced(prefix string, a Attrs) string {
	words := []string{fmt.Sprintf("prefix: %q", prefix), fmt.Sprintf("next_hop: %q", a.NextHop), "origin: " + strings.ToLower(a.Origin)}
	if a.MED != "" {
		words = append(words, "med: "+a.MED)
	}
	for key, list := range map[string]string{"communities": a.Communities, "large_communities": a.Large, "ext_communities": a.Ext} {
		if list != "" {
			words = append(words, fmt.Sprintf("%s: [\"%s\"]", key, strings.Join(strings.Fields(list), `", "`)))
		}
	}
	if a.ASPath != "" {
		words = append(words, fmt.Sprintf("as_path: [%s]", strings.ReplaceAll(a.ASPath, " ", ", ")))
	}
	return "    - {" + strings.Join(words, ", ") + "}\n"
}

// announcements are the section announce of the configuration.
func announcements(t Table, more ...string) string {
	var b strings.Builder
	b.WriteString("  announce:\n")
	for _, p := range t.prefixes() {
		b.WriteString(announced(p, t[p]))
	}
	for _, m := range more {
		b.WriteString("    - " + m + "\n")
	}
	return b.String()
}

// TestSpeakerAnnounces looks at what BIRD, FRR and GoBGP make of what ribtap
// announces: nothing, what the configuration says, changes of it without a reset,
// a drain, a flow specification, and what is taken out again.
func TestSpeakerAnnounces(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	peer := func(name string, asn uint32) *peering {
		p := l.newPeering(name, asn, nil)
		p.flows = true
		return p
	}
	birdP, bird3P, frrP, gobgpP := peer("bird2", 65020), peer("bird3", 65022), peer("frr84", 65030), peer("gobgp", 65040)
	frr10P := peer("frr103", 65031)
	frr10P.addr, frr10P.port = "::1", l.freePort("::1")
	frrP.flows, frr10P.flows = false, false
	all := []*peering{birdP, bird3P, frrP, frr10P, gobgpP}
	rt := l.StartSpeaker("", all...)
	gobgp := l.StartGoBGPSpeaker(installed, gobgpP)
	bird := l.StartBirdSpeaker(bird2, birdP, birdMore{session: "debug { packets };"})
	bird3 := l.StartBirdSpeaker(bird3new, bird3P, birdMore{session: "debug { packets };"})
	frr := l.StartFRRSpeaker(installed, frrP, frrMore{})
	frr10 := l.StartFRRSpeaker(newer, frr10P, frrMore{})
	hearers := map[string]hearer{"bird2": bird, "bird3": bird3, "frr84": frr, "frr103": frr10, "gobgp": gobgp}
	hears := func(want Table) {
		l.t.Helper()
		for _, p := range all {
			l.await(p.name+" to have what is announced", 20*time.Second, func() error {
				got, err := hearers[p.name].heard()
				return errors.Join(err, differ(p.name, got, want))
			})
		}
	}
	names := []string{"bird2", "bird3", "frr84", "frr103", "gobgp"}
	l.await("the sessions", 40*time.Second, func() error { return rt.established(names...) })
	since := rt.settle()

	l.Run("nothing unless told to", func(*testing.T) {
		hears(Table{})
		for _, f := range []struct {
			file, text string
			times      int
		}{
			{"bird2.log", "Got END-OF-RIB", 3},
			{"bird3.log", "Got END-OF-RIB", 3},
			{"frr84.bgpd.log", "rcvd End-of-RIB for", 2},
			{"frr103.bgpd.log", "rcvd End-of-RIB for", 2},
		} {
			l.await("an End-of-RIB of each family in "+f.file, 10*time.Second, func() error {
				text, err := os.ReadFile(l.path(f.file))
				if n := strings.Count(string(text), f.text); err == nil && n != f.times {
					err = fmt.Errorf("%d times %q, want %d", n, f.text, f.times)
				}
				return err
			})
		}
	})

	want := Table{
		"192.0.2.0/24":    {Origin: "IGP", NextHop: "198.51.100.1", MED: "50", Communities: "64512:1 64512:2", Large: "4200000000:1:2 64512:7:8", Ext: "rt:64512:7 rt:64512:8"},
		"192.0.2.8/32":    {Origin: "EGP", NextHop: "198.51.100.2", ASPath: "65100 4200000001"},
		"2001:db8:1::/48": {Origin: "INCOMPLETE", NextHop: "2001:db8::99", MED: "0", Communities: "64512:3", Large: "64512:9:9", Ext: "rt:64512:9"},
	}
	reload := func(more string) { rt.Reconfigure(more, all...) }
	l.Run("configuration", func(*testing.T) {
		reload(announcements(want))
		hears(want.behind(ribtapAS))
	})
	l.Run("change", func(*testing.T) {
		a := want["192.0.2.0/24"]
		a.MED, a.Communities = "123", "64512:1"
		want["192.0.2.0/24"] = a
		want["192.0.2.128/25"] = Attrs{Origin: "IGP", NextHop: "198.51.100.3"}
		delete(want, "192.0.2.8/32")
		reload(announcements(want))
		hears(want.behind(ribtapAS))
	})
	l.Run("drain", func(*testing.T) {
		drained := Table{}
		for p, a := range want {
			a.Communities = sorted(a.Communities + " 65535:0")
			drained[p] = a
		}
		reload("  drain: true\n" + announcements(want))
		hears(drained.behind(ribtapAS))
		reload(announcements(want))
		hears(want.behind(ribtapAS))
	})
	l.Run("flow", func(*testing.T) {
		flows := func(n int) {
			l.t.Helper()
			for _, b := range []*BirdSpeaker{bird, bird3} {
				l.await(b.p.name+" to have flows", 20*time.Second, func() error {
					out, err := b.ctl("show", "route", "table", "flow4tab", "all")
					if err != nil && !strings.Contains(out, "Network not found") {
						return err
					}
					if c := strings.Count(out, "flow4 { dst 10.9.0.0/16; proto 17; dport > 53; }"); c != n || n > 0 && !strings.Contains(out, "(generic, 0x80060000, 0x0)") {
						return fmt.Errorf("%d flows, want %d: %s", c, n, clip(out, 500))
					}
					return nil
				})
			}
			l.await("gobgp to have flows", 20*time.Second, func() error {
				out, err := gobgp.ctl("global", "rib", "-a", "ipv4-flowspec")
				if c := strings.Count(string(out), "destination: 10.9.0.0/16"); err == nil && (c != n || n > 0 && !strings.Contains(string(out), "discard")) {
					err = fmt.Errorf("%d flows, want %d: %s", c, n, clip(string(out), 500))
				}
				return err
			})
		}
		reload(announcements(want, "{flow: destination 10.9.0.0/16 protocol ==17 destination-port >53, actions: [discard]}"))
		flows(1)
		reload(announcements(want))
		flows(0)
	})
	l.Run("withdraw one", func(*testing.T) {
		rt.order("announce", "203.0.113.0/24", "203.0.113.0/25", "--all", "--next-hop", "198.51.100.9", "--med", "7")
		more := maps.Clone(want)
		more["203.0.113.0/24"] = Attrs{Origin: "IGP", NextHop: "198.51.100.9", MED: "7"}
		more["203.0.113.0/25"] = more["203.0.113.0/24"]
		hears(more.behind(ribtapAS))
		rt.order("withdraw", "203.0.113.0/25", "--all")
		hears(more.without("203.0.113.0/25").behind(ribtapAS))
	})
	l.Run("no session was reset", func(t *testing.T) {
		for _, p := range all {
			if events := must(rt.peerEvents(p.addr, since.sequence))(t); len(events) != 0 {
				t.Errorf("%s: %+v", p.name, events)
			}
		}
		if err := rt.established(names...); err != nil {
			t.Error(err)
		}
	})
	rt.Stop()
}
