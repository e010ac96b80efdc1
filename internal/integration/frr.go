//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// FRR is FRRouting's bgpd without zebra, as a router that exports BMP.
type FRR struct {
	l    *Lab
	name string
	gen  generation
	opt  frrOptions
	port int
	proc *Proc
}

// frrOptions say what is different about one router.
type frrOptions struct {
	hostname string
	// station is the BMP station to dial; port 0 for none.
	station     string
	stationPort int
	// listen is the port on 127.0.0.1 where it waits for a station; 0 for none.
	listen int
	// deny is the prefix that inbound policy denies; empty for none. The policy
	// adds community 65011:1 to all others.
	deny   string
	locRIB bool
	second bool // a second IPv4 neighbour
	// network makes it originate 192.0.2.0/24.
	network bool
}

const (
	frrAddress  = "127.0.11.1"
	frrAddressB = "127.0.11.2"
)

// policyCommunity is what the routers' inbound policy adds.
const policyCommunity = "65011:1"

// StartFRR starts a router.
func (l *Lab) StartFRR(name string, gen generation, opt frrOptions) *FRR {
	l.t.Helper()
	f := &FRR{l: l, name: name, gen: gen, opt: opt, port: l.freePort(frrAddress, frrAddressB, "::1")}
	l.write(name+".conf", f.config())
	if err := mkdir(f.socketDir()); err != nil {
		l.t.Fatal(err)
	}
	f.Start()
	return f
}

// Start starts bgpd, again after it was killed.
func (f *FRR) Start() {
	f.l.t.Helper()
	f.proc = f.l.start(f.name, f.gen.command(f.l.t, "/usr/lib/frr/bgpd", "-Z", "-S", "-n",
		"-f", f.l.path(f.name+".conf"), "-i", f.l.path(f.name+".pid"), "-p", fmt.Sprint(f.port),
		"-l", frrAddress, "-l", frrAddressB, "-l", "::1", "-P", "0", "--vty_socket", f.socketDir(), "-M", "bmp")...)
	f.l.await(f.name+" to answer vtysh", 15*time.Second, func() error { _, err := f.vtysh("show version"); return err })
}

func (f *FRR) socketDir() string { return f.l.path(f.name) }

func (f *FRR) target() feedTarget {
	return feedTarget{addr4: frrAddress, addr4b: frrAddressB, port: f.port, as: routerAS}
}

func (f *FRR) config() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("hostname %s", f.opt.hostname)
	line("log file %s", f.l.path(f.name+".bgpd.log"))
	line("router bgp %d", routerAS)
	line(" bgp router-id 10.0.0.11")
	line(" no bgp ebgp-requires-policy")
	line(" no bgp network import-check")
	line(" no bgp default ipv4-unicast")
	neighbors := map[string][]string{"ipv4": {feeder4}, "ipv6": {feeder6}}
	neighbor := func(addr, source string, as uint32) {
		line(" neighbor %s remote-as %d", addr, as)
		if source != "" {
			line(" neighbor %s update-source %s", addr, source)
		}
		line(" neighbor %s passive", addr)
		line(" neighbor %s ebgp-multihop 2", addr)
	}
	neighbor(feeder4, frrAddress, feederAS4)
	neighbor(feeder6, "", feederAS6)
	if f.opt.second {
		neighbor(feeder4b, frrAddressB, feederAS4b)
		neighbors["ipv4"] = append(neighbors["ipv4"], feeder4b)
	}
	for _, af := range []string{"ipv4", "ipv6"} {
		line(" address-family %s unicast", af)
		if f.opt.network && af == "ipv4" {
			line("  network 192.0.2.0/24")
		}
		for _, n := range neighbors[af] {
			line("  neighbor %s activate", n)
			line("  neighbor %s soft-reconfiguration inbound", n)
			line("  neighbor %s route-map IN in", n)
		}
		line(" exit-address-family")
	}
	line(" bmp targets station")
	if f.opt.stationPort != 0 {
		line("  bmp connect %s port %d min-retry 100 max-retry 500", f.opt.station, f.opt.stationPort)
	}
	if f.opt.listen != 0 {
		line("  bmp listener 127.0.0.1 port %d", f.opt.listen)
	}
	line("  bmp stats interval 1000")
	for _, af := range []string{"ipv4", "ipv6"} {
		line("  bmp monitor %s unicast pre-policy", af)
		line("  bmp monitor %s unicast post-policy", af)
		if f.opt.locRIB {
			line("  bmp monitor %s unicast loc-rib", af)
		}
	}
	line(" exit\n!")
	if f.opt.deny != "" {
		line("ip prefix-list DENIED seq 5 permit %s", f.opt.deny)
		line("route-map IN deny 5\n match ip address prefix-list DENIED")
	}
	line("route-map IN permit 10\n set community %s additive", policyCommunity)
	return b.String()
}

func (f *FRR) vtysh(commands ...string) ([]byte, error) {
	argv := []string{"vtysh", "--vty_socket", f.socketDir()}
	for _, c := range commands {
		argv = append(argv, "-c", c)
	}
	// The installed vtysh speaks to every bgpd; the newer one wants PAM, which
	// its chroot does not have.
	return output(installed.command(f.l.t, argv...)...)
}

// frrRoute is a route as `show bgp … json` has it, in the forms of the commands
// used here.
type frrRoute struct {
	Network       string `json:"network"`
	NextHop       string `json:"nextHop"`
	NextHopGlobal string `json:"nextHopGlobal"`
	Metric        *int64 `json:"metric"`
	Path          string `json:"path"`
	OriginCode    string `json:"bgpOriginCode"` // 8.4: i, e or ?
	Origin        string `json:"origin"`        // 10.3: the word
}

// Received is what the neighbour sent, before policy; without communities,
// which FRR does not show here.
func (f *FRR) Received(family, neighbor string) (Table, error) {
	out, err := f.vtysh(fmt.Sprintf("show bgp %s unicast neighbors %s received-routes json", family, neighbor))
	if err != nil {
		return nil, err
	}
	var answer struct {
		ReceivedRoutes map[string]frrRoute `json:"receivedRoutes"`
	}
	if len(strings.TrimSpace(string(out))) == 0 {
		return Table{}, nil
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("received-routes of %s: %w: %s", neighbor, err, clip(string(out), 200))
	}
	t := Table{}
	for prefix, r := range answer.ReceivedRoutes {
		t[prefix] = r.attrs()
	}
	return t, nil
}

func (r *frrRoute) attrs() Attrs {
	a := Attrs{ASPath: r.Path, NextHop: r.NextHop + r.NextHopGlobal, Origin: map[string]string{"i": "IGP", "e": "EGP", "?": "INCOMPLETE"}[r.OriginCode] + strings.ToUpper(r.Origin)}
	if r.Metric != nil {
		a.MED = fmt.Sprint(*r.Metric)
	}
	return a
}

// frrPath is one path of `show bgp … json detail`.
type frrPath struct {
	ASPath struct {
		String string `json:"string"`
	} `json:"aspath"`
	Origin    string `json:"origin"`
	Metric    *int64 `json:"metric"`
	Community struct {
		List []string `json:"list"`
	} `json:"community"`
	LargeCommunity struct {
		List []string `json:"list"`
	} `json:"largeCommunity"`
	ExtCommunity struct {
		String string `json:"string"` // RT:65000:1
	} `json:"extendedCommunity"`
	BestPath struct {
		Overall bool `json:"overall"`
	} `json:"bestpath"`
	Nexthops []struct {
		IP    string `json:"ip"`
		Scope string `json:"scope"`
	} `json:"nexthops"`
	Peer struct {
		ID string `json:"peerId"`
	} `json:"peer"`
}

func (p *frrPath) attrs() Attrs {
	a := Attrs{
		Origin: strings.ToUpper(p.Origin), ASPath: p.ASPath.String,
		Communities: sorted(strings.Join(p.Community.List, " ")), Large: sorted(strings.Join(p.LargeCommunity.List, " ")),
		Ext: sorted(strings.ToLower(p.ExtCommunity.String)),
	}
	if a.ASPath == "Local" {
		a.ASPath = ""
	}
	if p.Metric != nil {
		a.MED = fmt.Sprint(*p.Metric)
	}
	for _, h := range p.Nexthops {
		if h.Scope != "link-local" {
			a.NextHop = h.IP
			break
		}
	}
	return a
}

// rib is FRR's table of a family, restricted to the paths wanted.
func (f *FRR) rib(family string, want func(*frrPath) bool) (Table, error) {
	out, err := f.vtysh(fmt.Sprintf("show bgp %s unicast json detail", family))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Routes map[string]json.RawMessage `json:"routes"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("show bgp json detail: %w: %s", err, clip(string(out), 200))
	}
	t := Table{}
	for prefix, raw := range answer.Routes {
		// FRR 8.4 has the list of paths here, 10.3 an object around it.
		var paths []frrPath
		if json.Unmarshal(raw, &paths) != nil {
			var entry struct {
				Paths []frrPath `json:"paths"`
			}
			if err := json.Unmarshal(raw, &entry); err != nil {
				return nil, fmt.Errorf("route %s of show bgp json detail: %w", prefix, err)
			}
			paths = entry.Paths
		}
		for i := range paths {
			if want(&paths[i]) {
				t[prefix] = paths[i].attrs()
			}
		}
	}
	return t, nil
}

// Accepted are the neighbour's routes after policy.
func (f *FRR) Accepted(family, neighbor string) (Table, error) {
	return f.rib(family, func(p *frrPath) bool { return p.Peer.ID == neighbor })
}

// Best are the routes that FRR uses.
func (f *FRR) Best(family string) (Table, error) {
	return f.rib(family, func(p *frrPath) bool { return p.BestPath.Overall })
}

// AwaitFeed waits until FRR has received and accepted all of a feed that comes
// from the usual neighbours.
func (f *FRR) AwaitFeed(feed *Feed) {
	f.l.t.Helper()
	f.l.await(f.name+" to have its routes", 60*time.Second, func() error {
		for _, n := range []neighbor{neighbor4, neighbor6} {
			want := len(feed.Table(n.v6, n.as).without(f.opt.deny))
			received, err1 := f.Received(n.family, n.addr)
			accepted, err2 := f.Accepted(n.family, n.addr)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if len(accepted) != want || len(received) < want {
				return fmt.Errorf("%d of %d routes from %s accepted", len(accepted), want, n.addr)
			}
		}
		return nil
	})
}

// neighbor is one of the router's BGP sessions with the feeder.
type neighbor struct {
	addr, family string
	v6           bool
	as           uint32
}

var (
	neighbor4  = neighbor{feeder4, "ipv4", false, feederAS4}
	neighbor4b = neighbor{feeder4b, "ipv4", false, feederAS4b}
	neighbor6  = neighbor{feeder6, "ipv6", true, feederAS6}
)

func (n neighbor) view(rib string) who { return who{peer: n.addr, rib: rib, v6: n.v6} }

// exported is a table as FRR's BMP exporter tells it. It builds the attributes
// with the code that sends them to the neighbour: over eBGP that puts FRR's own
// AS number in front of every path that a neighbour sent. The octets are FRR's;
// what a monitor must do is to show them as they came.
func exported(t Table) Table {
	out := t.behind(routerAS)
	for p, a := range t {
		if a.ASPath == "" {
			out[p] = a
		}
	}
	return out
}
