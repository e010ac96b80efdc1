package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAnnounce: orders come and go at the neighbour, and win over what is
// configured; lists of a peer decide.
func TestAnnounce(t *testing.T) {
	d, path := startPeered(t, `
bgp:
  announce:
    - {prefix: 192.0.2.0/24, med: 7, communities: ["65000:1"]}
    - {prefix: 198.51.100.0/24}
    - {prefix: 198.51.100.128/25}
  peers:
    - {name: two, address: 127.0.0.2, families: [ipv4-unicast, ipv6-unicast, ipv4-flowspec], reject: [198.51.100.0/24], accept: [198.51.100.128/25]}
    - {name: three, address: 127.0.0.3}
`)
	two, three := startNeighbour(t, d, 2), startNeighbour(t, d, 3)
	hears := func(n *neighbour, want ...string) {
		t.Helper()
		for end := time.Now().Add(15 * time.Second); !slices.Equal(n.heard(), want); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("neighbour hears %v, want %v\n%s", n.heard(), want, d.stderr())
			}
		}
	}
	hears(two, "192.0.2.0/24", "198.51.100.128/25")
	hears(three, "192.0.2.0/24", "198.51.100.0/24", "198.51.100.128/25")
	if got := two.route("192.0.2.0/24"); got != "path 64512 med 7 communities 65000:1 ext " {
		t.Errorf("route: %s", got)
	}

	order := func(code int, args ...string) result {
		t.Helper()
		return ribtap(t, append(args, "--url", d.http)...).must(t, code)
	}
	r := order(exitOK, "announce", "192.0.2.0/24", "--peer", "two", "--med", "9", "--next-hop", "192.0.2.9",
		"--community", "no-export", "--large-community", "1:2:3", "--ext-community", "rt:65000:1", "--as-path", "65009 65010")
	if r.stderr != "ribtap: announced 192.0.2.0/24: two\n" || r.stdout != "" {
		t.Errorf("stderr %q, stdout %q", r.stderr, r.stdout)
	}
	eventually(t, "the order to win", func() bool {
		return strings.HasPrefix(two.route("192.0.2.0/24"), "path 64512 65009 65010 med 9 communities ")
	})
	if got := two.route("192.0.2.0/24"); !strings.Contains(got, "no-export") && !strings.Contains(got, "65535:65281") || !strings.Contains(got, "65000:1") {
		t.Errorf("route: %s", got)
	}
	if got := three.route("192.0.2.0/24"); !strings.Contains(got, "med 7") {
		t.Errorf("route of the other peer: %s", got)
	}
	order(exitOK, "announce", "10.0.0.0/8", "10.1.0.0/16", "--all")
	hears(two, "10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "198.51.100.128/25")
	flow := []string{"flow", "destination", "10.9.0.0/16", "destination-port", ">53"}
	r = order(exitOK, append(append([]string{"announce"}, flow...), "--action", "discard", "--all")...)
	if !strings.HasSuffix(r.stderr, ": two\n") {
		t.Errorf("who gets flows: %s", r.stderr)
	}
	eventually(t, "the flow", func() bool { return len(two.heard()) == 5 })
	var listed []announcedRoute
	if err := json.Unmarshal([]byte(order(exitOK, "announce", "--list", "-o", "json").stdout), &listed); err != nil || len(listed) != 10 {
		t.Errorf("%d listed, %v: %+v", len(listed), err, listed)
	}

	// A reload leaves orders alone and changes what is configured, without a reset.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("med: 7"), []byte("med: 8"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	eventually(t, "the new MED", func() bool { return strings.Contains(three.route("192.0.2.0/24"), "med 8") })
	if got := two.route("192.0.2.0/24"); !strings.Contains(got, "med 9") {
		t.Errorf("the order is gone: %s", got)
	}

	if r := order(exitOK, "announce", "2001:db8::/32", "--peer", "two"); !strings.Contains(r.stderr, "nobody:") || !strings.Contains(r.stderr, "--next-hop") {
		t.Errorf("stderr: %s", r.stderr)
	}
	order(exitOK, "withdraw", "2001:db8::/32", "--peer", "two")
	order(exitOK, append(append([]string{"withdraw"}, flow...), "--all")...)
	order(exitOK, "withdraw", "10.1.0.0/16", "--all")
	order(exitOK, "withdraw", "192.0.2.0/24", "--peer", "two")
	hears(two, "10.0.0.0/8", "192.0.2.0/24", "198.51.100.128/25")
	eventually(t, "the configured route", func() bool { return strings.Contains(two.route("192.0.2.0/24"), "med 8") })
	if ups, downs, _ := two.count(); ups != 1 || downs != 0 {
		t.Errorf("%d sessions, %d ends", ups, downs)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitFailure, "is announced by the configuration", []string{"withdraw", "192.0.2.0/24", "--all"}},
		{exitFailure, "withdraw it with --all", []string{"withdraw", "10.0.0.0/8", "--peer", "two"}},
		{exitFailure, "is not announced", []string{"withdraw", "10.2.0.0/16", "--all"}},
		{exitFailure, "nearest is", []string{"announce", "10.2.0.0/16", "--peer", "tree"}},
		{exitUsage, "--peer NAME or --all", []string{"announce", "10.2.0.0/16"}},
		{exitUsage, "host bits", []string{"announce", "10.2.0.1/16", "--all"}},
		{exitUsage, "neither a prefix nor an address", []string{"announce", "nowhere", "--all"}},
		{exitUsage, "not an IP address", []string{"announce", "10.2.0.0/16", "--all", "--next-hop", "x"}},
		{exitUsage, "UP/DOWN", []string{"announce", "10.2.0.0/16", "--all", "--beacon", "2h"}},
		{exitUsage, "explode", []string{"announce", "flow", "destination", "10.0.0.0/8", "--action", "explode", "--all"}},
	} {
		if r := order(c.code, c.args...); !strings.Contains(r.stderr, c.says) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%v: %s", c.args, r.stderr)
		}
	}
}

// TestBeaconAndDrain: a beacon comes and goes by the clock, and drain marks what is
// announced, without a reset.
func TestBeaconAndDrain(t *testing.T) {
	d, path := startPeered(t, twoPeers)
	two := startNeighbour(t, d, 2)
	d.waitRoutes(t, "two", 0)
	ribtap(t, "announce", "192.0.2.0/24", "--peer", "two", "--url", d.http).must(t, exitOK)
	// An IPv6 prefix without a next hop has none in a session over IPv4.
	ribtap(t, "announce", "2001:db8:1::/48", "--peer", "two", "--url", d.http).must(t, exitOK)
	eventually(t, "what is not sent", func() bool { return d.peer(t, "two").NotSent["next-hop"] == 1 })
	ribtap(t, "announce", "198.51.100.0/24", "--peer", "two", "--beacon", "1s/1s", "--url", d.http).must(t, exitOK)
	for range 2 {
		eventually(t, "the beacon", func() bool { return two.route("198.51.100.0/24") != "" })
		eventually(t, "no beacon", func() bool { return two.route("198.51.100.0/24") == "" })
	}
	ribtap(t, "withdraw", "198.51.100.0/24", "--peer", "two", "--url", d.http).must(t, exitOK)
	if err := os.WriteFile(path, []byte(twoPeers+"  drain: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	eventually(t, "the mark of a drain", func() bool {
		return strings.Contains(two.route("192.0.2.0/24"), "65535:0") || strings.Contains(two.route("192.0.2.0/24"), "graceful-shutdown")
	})
	if p := d.peer(t, "two"); !*p.GracefulDrained || *p.Sessions != 1 || *p.Advertised == 0 || *p.Withdrawn == 0 {
		t.Errorf("two: drain %v, sessions %d, advertised %d, withdrawn %d", *p.GracefulDrained, *p.Sessions, *p.Advertised, *p.Withdrawn)
	}
}

// TestManyAnnouncements: many routes in one order are one change.
func TestManyAnnouncements(t *testing.T) {
	d, _ := startPeered(t, twoPeers)
	two, three := startNeighbour(t, d, 2), startNeighbour(t, d, 3)
	d.waitRoutes(t, "two", 0)
	d.waitRoutes(t, "three", 0)
	o := routeOrder{All: true}
	for i := range 20_000 {
		o.Routes = append(o.Routes, AnnounceConfig{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24).String()})
	}
	body, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want int
	}{{"/v1/announce", 20_000}, {"/v1/announce", 20_000}, {"/v1/withdraw", 0}} {
		began := time.Now()
		resp, err := http.Post("http://"+d.http+c.path, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s answers %d", c.path, resp.StatusCode)
		}
		eventually(t, c.path, func() bool { return len(two.heard()) == c.want && len(three.heard()) == c.want })
		t.Logf("%s: %v", c.path, time.Since(began))
	}
}
