//go:build integration

package integration

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// GoBGPSpeaker is a gobgpd that announces a feed to ribtap.
type GoBGPSpeaker struct {
	*GoBGP
	p        *peering
	families []string // beside IPv4 and IPv6 unicast
}

// StartGoBGPSpeaker starts it and gives it the feed, with further families.
func (l *Lab) StartGoBGPSpeaker(gen generation, p *peering, families ...string) *GoBGPSpeaker {
	l.t.Helper()
	g := &GoBGPSpeaker{GoBGP: &GoBGP{l: l, name: p.name, gen: gen, api: l.freePort(gobgpAddress)}, p: p, families: families}
	l.write(p.name+".toml", g.config())
	g.Start()
	return g
}

// Start starts gobgpd and gives it the feed, again after it was killed; with
// flags.
func (g *GoBGPSpeaker) Start(flags ...string) {
	g.l.t.Helper()
	argv := append([]string{"/usr/bin/gobgpd", "-f", g.l.path(g.name + ".toml"), "--api-hosts", fmt.Sprintf("%s:%d", gobgpAddress, g.api), "--pprof-disable"}, flags...)
	g.proc = g.l.start(g.name, g.gen.command(g.l.t, argv...)...)
	g.l.await(g.name+" to answer gobgp", 15*time.Second, func() error { _, err := g.ctl("global"); return err })
	if g.p.feed != nil {
		for i := range g.p.feed.routes {
			g.rib("add", &g.p.feed.routes[i])
		}
	}
}

func (g *GoBGPSpeaker) config() string {
	p := g.p
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	port := -1
	if p.passive || p.both {
		port = p.port
	}
	line("[global.config]\n  as = %d\n  router-id = \"10.0.0.40\"\n  port = %d\n  local-address-list = [%q]", p.asn, port, p.addr)
	line("[[neighbors]]\n  [neighbors.config]\n    neighbor-address = %q\n    peer-as = %d", p.remote(), ribtapAS)
	if p.password != "" {
		line("    auth-password = %q", p.password)
	}
	line("  [neighbors.timers.config]\n    connect-retry = 1\n    idle-hold-time-after-reset = 1")
	line("  [neighbors.transport.config]\n    local-address = %q\n    remote-port = %d\n    passive-mode = %t", p.addr, p.to, p.passive)
	if p.gtsm {
		line("  [neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = 255")
	} else {
		line("  [neighbors.ebgp-multihop.config]\n    enabled = true\n    multihop-ttl = 2")
	}
	if p.restart > 0 {
		line("  [neighbors.graceful-restart.config]\n    enabled = true\n    restart-time = %d", p.restart)
	}
	families := append([]string{"ipv4-unicast", "ipv6-unicast"}, g.families...)
	if p.flows {
		families = append(families, "ipv4-flowspec")
	}
	for _, f := range families {
		line("  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n      afi-safi-name = %q", f)
		if p.restart > 0 {
			line("    [neighbors.afi-safis.mp-graceful-restart.config]\n      enabled = true")
		}
		if p.addPath {
			line("    [neighbors.afi-safis.add-paths.config]\n      send-max = 8")
		}
	}
	return b.String()
}

// rib runs `gobgp global rib add` or del for a route.
func (g *GoBGPSpeaker) rib(verb string, r *feedRoute, more ...string) {
	g.l.t.Helper()
	args := []string{"global", "rib", verb, r.prefix.String(), "origin", strings.ToLower(r.origin), "med", fmt.Sprint(r.med)}
	if r.family(true) {
		args = append(args, "nexthop", g.p.feed.nextHop6.String(), "-a", "ipv6")
	} else {
		args = append(args, "nexthop", g.p.feed.nextHop4.String(), "-a", "ipv4")
	}
	if len(r.path) > 0 {
		args = append(args, "aspath", strings.ReplaceAll(strings.Trim(fmt.Sprint(r.path), "[]"), " ", ","))
	}
	for word, list := range map[string][]string{"community": r.communities, "large-community": r.large} {
		if len(list) > 0 {
			args = append(args, word, strings.Join(list, ","))
		}
	}
	for _, c := range r.ext {
		args = append(args, "rt", strings.TrimPrefix(c, "rt:"))
	}
	if out, err := g.ctl(append(args, more...)...); err != nil {
		g.l.t.Fatalf("gobgp: %v: %s", err, out)
	}
}

// withdraw takes prefixes out of its table.
func (g *GoBGPSpeaker) withdraw(prefixes ...string) {
	g.l.t.Helper()
	for _, p := range prefixes {
		family := "ipv4"
		if strings.Contains(p, ":") {
			family = "ipv6"
		}
		if out, err := g.ctl("global", "rib", "del", p, "-a", family); err != nil {
			g.l.t.Fatalf("gobgp: %v: %s", err, out)
		}
	}
}

// tables are what GoBGP itself says that it announces.
func (g *GoBGPSpeaker) tables(p *peering) ([]listing, error) {
	var out []listing
	for _, v6 := range []bool{false, true} {
		t, err := g.table("neighbor", p.remote(), "adj-out", "-a", frrFamily(v6))
		if err != nil {
			return nil, err
		}
		out = append(out, listing{p.view(v6), t})
	}
	return out, nil
}

// heard are the routes that GoBGP has from ribtap.
func (g *GoBGPSpeaker) heard() (Table, error) {
	all := Table{}
	for _, v6 := range []bool{false, true} {
		t, err := g.table("neighbor", g.p.remote(), "adj-in", "-a", frrFamily(v6))
		if err != nil {
			return nil, err
		}
		maps.Copy(all, t)
	}
	return all, nil
}
