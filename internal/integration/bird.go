//go:build integration

package integration

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// The feeder's addresses and AS numbers, and the routers' AS number.
const (
	feeder4  = "127.0.12.1"
	feeder4b = "127.0.12.2"
	feeder6  = "::1"

	feederAS4  = 65101
	feederAS4b = 65102
	feederAS6  = 65100
	routerAS   = 65011
)

// Feeder is a BIRD that announces a Feed to a router: IPv4 routes over an IPv4
// session from 127.0.12.1, IPv6 routes over a session from ::1. A second IPv4
// session gives the same routes with a longer path, when asked for.
type Feeder struct {
	l      *Lab
	name   string
	feed   *Feed
	to     feedTarget
	second bool
	port   int // BIRD listens also when it only dials
	proc   *Proc
}

// feedTarget is where a router listens for BGP.
type feedTarget struct {
	addr4, addr4b string // addr4b is for the second session: BIRD locks an address and port that it dials
	port          int
	as            uint32
}

// StartFeeder starts a feeder; it dials until the router answers.
func (l *Lab) StartFeeder(name string, feed *Feed, to feedTarget, second bool) *Feeder {
	l.t.Helper()
	f := &Feeder{l: l, name: name, feed: feed, to: to, second: second, port: l.freePort(feeder4, feeder4b, feeder6)}
	f.writeRoutes()
	conf := l.write(name+".conf", f.config())
	f.proc = l.start(name, installed.command(l.t, "bird", "-f", "-c", conf, "-s", f.socket())...)
	l.await(name+" to answer birdc", 15*time.Second, func() error { _, err := f.ctl("show", "status"); return err })
	return f
}

func (f *Feeder) socket() string { return f.l.path(f.name + ".ctl") }

func (f *Feeder) writeRoutes() {
	f.l.write(f.name+".routes4", f.feed.bird(false))
	f.l.write(f.name+".routes6", f.feed.bird(true))
}

func (f *Feeder) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, `log stderr all;
router id 10.0.0.12;
protocol device { }
protocol static s4 {
  ipv4;
  include "%s";
}
protocol static s6 {
  ipv6;
  include "%s";
}
template bgp feed { multihop 2; connect delay time 1; connect retry time 1; error wait time 1,1; }
`, f.l.path(f.name+".routes4"), f.l.path(f.name+".routes6"))
	// MED crosses an AS border only when the export filter sets it.
	session := func(proto, local string, as uint32, remote, family, nextHop, more string) {
		fmt.Fprintf(&b, `filter out_%s { bgp_med = bgp_med; bgp_next_hop = %s; %saccept; }
protocol bgp %s from feed {
  local %s port %d as %d;
  neighbor %s port %d as %d;
  %s { import none; export filter out_%s; };
}
`, proto, nextHop, more, proto, local, f.port, as, remote, f.to.port, f.to.as, family, proto)
	}
	session("up4", feeder4, feederAS4, f.to.addr4, "ipv4", f.feed.nextHop4.String(), "")
	session("up6", feeder6, feederAS6, "::1", "ipv6", f.feed.nextHop6.String(), "")
	if f.second {
		session("up4b", feeder4b, feederAS4b, f.to.addr4b, "ipv4", f.feed.nextHop4.Next().String(), fmt.Sprintf("bgp_path.prepend(%d); ", feederAS4b))
	}
	return b.String()
}

func (f *Feeder) ctl(args ...string) (string, error) {
	out, err := output(append([]string{"birdc", "-s", f.socket()}, args...)...)
	return string(out), err
}

// do runs a birdc command that must succeed.
func (f *Feeder) do(args ...string) {
	f.l.t.Helper()
	if out, err := f.ctl(args...); err != nil {
		f.l.t.Fatalf("birdc: %v: %s", err, out)
	}
}

// Reload announces the feed as it is now.
func (f *Feeder) Reload() {
	f.l.t.Helper()
	f.writeRoutes()
	f.do("configure")
}

// Bird3 is a BIRD 3 that exports BMP, before and after its inbound policy.
type Bird3 struct {
	l    *Lab
	name string
	port int
	deny string
	proc *Proc
}

const bird3Address = "127.0.13.1"

// StartBird3 starts it with a station to dial. Its policy denies one prefix
// and adds community 65011:1 to the others.
func (l *Lab) StartBird3(name, station string, stationPort int, deny string) *Bird3 {
	l.t.Helper()
	r := &Bird3{l: l, name: name, deny: deny, port: l.freePort(bird3Address, "::1")}
	conf := l.write(name+".conf", fmt.Sprintf(`log stderr all;
router id 10.0.0.13;
protocol device { }
protocol bmp monitor {
  system name "bird-lab"; system description "BIRD 3";
  station address ip %s port %d;
  monitoring rib in pre_policy; monitoring rib in post_policy;
}
filter keep4 { if net = %s then reject; bgp_community.add((65011,1)); accept; }
filter keep6 { bgp_community.add((65011,1)); accept; }
protocol bgp in4 {
  local %s port %d as %d; neighbor %s as %d; passive on; multihop 2;
  ipv4 { import table on; import filter keep4; export none; };
}
protocol bgp in6 {
  local ::1 port %d as %d; neighbor ::1 as %d; passive on; multihop 2;
  ipv6 { import table on; import filter keep6; export none; };
}
`, station, stationPort, deny, bird3Address, r.port, routerAS, feeder4, feederAS4, r.port, routerAS, feederAS6))
	r.proc = l.start(name, newer.command(l.t, "/apart/bird3/usr/sbin/bird", "-f", "-c", conf, "-s", r.socket())...)
	l.await(name+" to answer birdc", 15*time.Second, func() error { _, err := r.ctl("show", "status"); return err })
	return r
}

func (r *Bird3) socket() string { return r.l.path(r.name + ".ctl") }
func (r *Bird3) target() feedTarget {
	return feedTarget{addr4: bird3Address, port: r.port, as: routerAS}
}

func (r *Bird3) ctl(args ...string) (string, error) {
	out, err := output(append([]string{"birdc", "-s", r.socket()}, args...)...)
	return string(out), err
}

// birdNetwork starts the routes of a network in `show route all`, birdAttr is
// one of its attributes.
var (
	birdNetwork = regexp.MustCompile(`^([0-9a-f.:]+/\d+)\s`)
	birdAttr    = regexp.MustCompile(`^\s+(BGP\.\w+|bgp_\w+): ?(.*)$`)
)

// table reads a `show route all` command.
func (r *Bird3) table(args ...string) (Table, error) {
	out, err := r.ctl(append([]string{"show", "route", "all"}, args...)...)
	if err != nil {
		// birdc also fails when there is nothing to show.
		if strings.Contains(out, "Network not found") {
			return Table{}, nil
		}
		return nil, fmt.Errorf("%w: %s", err, clip(out, 200))
	}
	return birdTable(out), nil
}

// birdTable reads what `show route all` wrote; of several routes of a network the
// last one.
func birdTable(out string) Table {
	t := Table{}
	network := ""
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if m := birdNetwork.FindStringSubmatch(line); m != nil {
			network = m[1]
			t[network] = Attrs{}
			continue
		}
		m := birdAttr.FindStringSubmatch(line)
		if m == nil || network == "" {
			continue
		}
		a := t[network]
		switch strings.TrimPrefix(strings.TrimPrefix(m[1], "BGP."), "bgp_") {
		case "origin":
			a.Origin = strings.ToUpper(m[2])
		case "path", "as_path":
			a.ASPath = strings.TrimSpace(m[2])
		case "next_hop":
			a.NextHop, _, _ = strings.Cut(strings.TrimSpace(m[2]), " ")
		case "med":
			a.MED = m[2]
		case "community":
			a.Communities = birdCommunities(m[2])
		case "large_community":
			a.Large = birdCommunities(m[2])
		case "ext_community":
			a.Ext = birdCommunities(m[2])
		}
		t[network] = a
	}
	return t
}

// birdCommunities turns (1,2) (3,4) into 1:2 3:4.
func birdCommunities(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, ", ", ":"), ",", ":")
	return sorted(strings.NewReplacer("(", "", ")", "").Replace(s))
}

// Received is what the neighbour sent, before policy.
func (r *Bird3) Received(n neighbor) (Table, error) {
	return r.table("import", "table", bird3Channel(n))
}

// Accepted are the neighbour's routes after policy.
func (r *Bird3) Accepted(n neighbor) (Table, error) {
	return r.table("protocol", bird3Protocol(n))
}

func bird3Protocol(n neighbor) string {
	if n.v6 {
		return "in6"
	}
	return "in4"
}

func bird3Channel(n neighbor) string { return bird3Protocol(n) + "." + n.family }
