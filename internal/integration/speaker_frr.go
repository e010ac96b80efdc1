//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// FRRSpeaker is FRRouting's bgpd without zebra that announces a feed to ribtap.
type FRRSpeaker struct {
	*FRR
	p    *peering
	more frrMore
}

// frrMore are further lines of a configuration.
type frrMore struct {
	only4  bool     // no IPv6 routes: FRR 10.3 wants an IPv6 address of its own for them
	router []string // of the section router
	family []string // of both of its address families
	// late puts the route maps behind what they are for, as FRR itself writes its
	// configuration. It takes notice of them after 5 s, and has said End-of-RIB by
	// then.
	late bool
}

// StartFRRSpeaker starts it.
func (l *Lab) StartFRRSpeaker(gen generation, p *peering, more frrMore) *FRRSpeaker {
	l.t.Helper()
	f := &FRRSpeaker{FRR: &FRR{l: l, name: p.name, gen: gen, port: p.port}, p: p, more: more}
	f.write()
	if err := mkdir(f.socketDir()); err != nil {
		l.t.Fatal(err)
	}
	f.Start()
	return f
}

func (f *FRRSpeaker) write() { f.l.write(f.p.name+".conf", f.config()) }

// Start starts bgpd, again after it was killed.
func (f *FRRSpeaker) Start() {
	f.l.t.Helper()
	argv := []string{
		"/usr/lib/frr/bgpd", "-Z", "-S", "-n",
		"-f", f.l.path(f.name + ".conf"), "-i", f.l.path(f.name + ".pid"), "-p", fmt.Sprint(f.p.port),
		"-l", "::1", "-P", "0", "--vty_socket", f.socketDir(), "-M", "bmp",
	}
	if !f.p.v6() {
		argv = append(argv, "-l", f.p.addr)
	}
	f.proc = f.l.start(f.name, f.gen.command(f.l.t, argv...)...)
	f.l.await(f.name+" to answer vtysh", 15*time.Second, func() error { _, err := f.vtysh("show version"); return err })
}

// config announces each route of the feed with a route map of its own.
func (f *FRRSpeaker) config() string {
	p := f.p
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("hostname %s", p.name)
	line("log file %s", f.l.path(p.name+".bgpd.log"))
	if !f.more.late {
		b.WriteString(f.routeMaps())
	}
	line("!\nrouter bgp %d", p.asn)
	line(" bgp router-id 10.0.0.30")
	line(" no bgp ebgp-requires-policy")
	line(" no bgp network import-check")
	line(" no bgp default ipv4-unicast")
	if p.restart > 0 {
		line(" bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time %d", p.restart)
	}
	if p.longLived > 0 {
		line(" bgp long-lived-graceful-restart stale-time %d", p.longLived)
	}
	n := " neighbor " + p.remote()
	line("%s remote-as %d", n, ribtapAS)
	line("%s port %d", n, p.to)
	line("%s update-source %s", n, p.addr)
	line("%s timers connect 1", n)
	line("%s advertisement-interval 0", n)
	if p.gtsm {
		line("%s ttl-security hops 1", n)
	} else {
		line("%s ebgp-multihop 2", n)
	}
	if p.passive {
		line("%s passive", n)
	}
	if p.password != "" {
		line("%s password %s", n, p.password)
	}
	for _, m := range f.more.router {
		line(" %s", m)
	}
	for _, v6 := range []bool{false, true} {
		if v6 && f.more.only4 {
			break
		}
		line(" address-family %s unicast", frrFamily(v6))
		for i := range f.feed().routes {
			r := &f.feed().routes[i]
			if r.family(v6) {
				line("  network %s route-map R%d", r.prefix, i)
			}
		}
		line(" %s activate", n)
		line(" %s route-map OUT out", n)
		for _, m := range f.more.family {
			line("  %s", m)
		}
		if p.addPath {
			line(" %s addpath-tx-all-paths", n)
		}
		line(" exit-address-family")
	}
	if f.more.late {
		b.WriteString("!\n" + f.routeMaps())
	}
	return b.String()
}

func (f *FRRSpeaker) routeMaps() string {
	var b strings.Builder
	for i := range f.feed().routes {
		b.WriteString(f.feed().routes[i].routeMap(i))
	}
	b.WriteString("route-map OUT permit 10\n")
	if f.p.feed != nil {
		fmt.Fprintf(&b, " set ip next-hop %s\n set ipv6 next-hop global %s\n", f.p.feed.nextHop4, f.p.feed.nextHop6)
	}
	return b.String()
}

func (f *FRRSpeaker) feed() *Feed {
	if f.p.feed == nil {
		return &Feed{}
	}
	return f.p.feed
}

func frrFamily(v6 bool) string {
	if v6 {
		return "ipv6"
	}
	return "ipv4"
}

// routeMap gives the route its attributes.
func (r *feedRoute) routeMap(i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "route-map R%d permit 10\n set metric %d\n set origin %s\n", i, r.med, strings.ToLower(r.origin))
	for word, list := range map[string][]string{"community": r.communities, "large-community": r.large} {
		if len(list) > 0 {
			fmt.Fprintf(&b, " set %s %s\n", word, strings.Join(list, " "))
		}
	}
	for _, c := range r.ext {
		fmt.Fprintf(&b, " set extcommunity %s\n", strings.Replace(c, ":", " ", 1))
	}
	if len(r.path) > 0 {
		fmt.Fprintf(&b, " set as-path prepend %s\n", strings.Trim(fmt.Sprint(r.path), "[]"))
	}
	return b.String() + "!\n"
}

// tables are what FRR itself says that it announces: next hop, path, origin and MED
// as advertised, communities as they are in its table.
func (f *FRRSpeaker) tables(p *peering) ([]listing, error) {
	var out []listing
	for _, v6 := range []bool{false, true} {
		family := frrFamily(v6)
		sent, err := f.advertised(family, p.remote())
		if err != nil {
			return nil, err
		}
		own, err := f.rib(family, func(*frrPath) bool { return true })
		if err != nil {
			return nil, err
		}
		for prefix, a := range sent {
			a.Communities, a.Large, a.Ext = own[prefix].Communities, own[prefix].Large, own[prefix].Ext
			sent[prefix] = a
		}
		out = append(out, listing{p.view(v6), sent.behind(p.asn)})
	}
	return out, nil
}

// advertised is FRR's Adj-RIB-Out, without communities.
func (f *FRRSpeaker) advertised(family, neighbor string) (Table, error) {
	out, err := f.vtysh(fmt.Sprintf("show bgp %s unicast neighbors %s advertised-routes json", family, neighbor))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Routes map[string]frrRoute `json:"advertisedRoutes"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("advertised-routes: %w: %s", err, clip(string(out), 200))
	}
	t := Table{}
	for prefix, r := range answer.Routes {
		t[prefix] = r.attrs()
	}
	return t, nil
}

// configure runs commands inside of the section router.
func (f *FRRSpeaker) configure(commands ...string) {
	f.l.t.Helper()
	if out, err := f.vtysh(append([]string{"configure terminal", fmt.Sprintf("router bgp %d", f.p.asn)}, commands...)...); err != nil {
		f.l.t.Fatalf("vtysh: %v: %s", err, out)
	}
}

// withdraw takes prefixes out of the configuration.
func (f *FRRSpeaker) withdraw(prefixes ...string) {
	f.l.t.Helper()
	for _, p := range prefixes {
		f.configure("address-family "+frrFamily(strings.Contains(p, ":"))+" unicast", "no network "+p)
	}
}

// heard are the routes that FRR has from ribtap.
func (f *FRRSpeaker) heard() (Table, error) {
	t := Table{}
	for _, v6 := range []bool{false, true} {
		part, err := f.rib(frrFamily(v6), func(path *frrPath) bool { return path.Peer.ID == f.p.remote() })
		if err != nil {
			return nil, err
		}
		for prefix, a := range part {
			// FRR's word for the one community that it has a word for here.
			a.Communities = sorted(strings.ReplaceAll(a.Communities, "gracefulShutdown", "65535:0"))
			t[prefix] = a
		}
	}
	return t, nil
}
