//go:build integration

package integration

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
)

// BirdSpeaker is a BIRD that announces a feed to ribtap. It has one session: BIRD
// locks the address and port that it dials.
type BirdSpeaker struct {
	l       *Lab
	version birdVersion
	more    birdMore
	p       *peering
	proc    *Proc
}

// birdVersion is a generation of BIRD.
type birdVersion struct {
	gen     generation
	program string
}

var (
	bird2    = birdVersion{installed, "bird"}                   // 2.0
	bird217  = birdVersion{newer, "/usr/sbin/bird"}             // 2.17
	bird3new = birdVersion{newer, "/apart/bird3/usr/sbin/bird"} // 3.1
)

// birdMore are further lines of a configuration.
type birdMore struct {
	top      string // of the file
	session  string // of each session
	channel4 string // of its channels
	channel6 string
	filter4  string // before "accept"
	only4    bool   // no IPv6 channel
}

// StartBirdSpeaker starts it.
func (l *Lab) StartBirdSpeaker(version birdVersion, p *peering, more birdMore) *BirdSpeaker {
	l.t.Helper()
	b := &BirdSpeaker{l: l, version: version, more: more, p: p}
	b.write()
	b.Start()
	return b
}

// Start starts BIRD, again after it was killed; with flags.
func (b *BirdSpeaker) Start(flags ...string) {
	b.l.t.Helper()
	argv := append([]string{b.version.program, "-f", "-c", b.l.path(b.p.name + ".conf"), "-s", b.socket()}, flags...)
	b.proc = b.l.start(b.p.name, b.version.gen.command(b.l.t, argv...)...)
	b.l.await(b.p.name+" to answer birdc", 15*time.Second, func() error { _, err := b.ctl("show", "status"); return err })
}

func (b *BirdSpeaker) socket() string { return b.l.path(b.p.name + ".ctl") }

func (b *BirdSpeaker) ctl(args ...string) (string, error) {
	out, err := output(append([]string{"birdc", "-s", b.socket()}, args...)...)
	return string(out), err
}

// do runs a birdc command that must succeed.
func (b *BirdSpeaker) do(args ...string) {
	b.l.t.Helper()
	if out, err := b.ctl(args...); err != nil {
		b.l.t.Fatalf("birdc: %v: %s", err, out)
	}
}

// Reload brings feeds and options into force as they are now.
func (b *BirdSpeaker) Reload() {
	b.l.t.Helper()
	b.write()
	b.do("configure")
}

func (b *BirdSpeaker) write() {
	if f := b.p.feed; f != nil {
		b.l.write(b.p.name+".routes4", f.bird(false))
		b.l.write(b.p.name+".routes6", f.bird(true))
	}
	b.l.write(b.p.name+".conf", b.config())
}

// config is the whole configuration. A protocol cannot have each name ("bird" and
// "none" are words of the language), so it is called after its kind.
func (b *BirdSpeaker) config() string {
	p, more := b.p, &b.more
	var c strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&c, format+"\n", args...) }
	line("log stderr all;\nrouter id 10.0.0.20;\nprotocol device { }\n%s", more.top)
	if p.flows {
		line("flow4 table flow4tab;")
	}
	hop4, hop6 := "", ""
	if p.feed != nil {
		line("protocol static s4 { ipv4;\ninclude %q;\n}", b.l.path(p.name+".routes4"))
		line("protocol static s6 { ipv6;\ninclude %q;\n}", b.l.path(p.name+".routes6"))
		hop4, hop6 = fmt.Sprintf("bgp_next_hop = %s;", p.feed.nextHop4), fmt.Sprintf("bgp_next_hop = %s;", p.feed.nextHop6)
	}
	// MED crosses an AS border only when the export filter sets it.
	line("filter out4 { bgp_med = bgp_med; %s %s accept; }", hop4, more.filter4)
	line("filter out6 { bgp_med = bgp_med; %s accept; }", hop6)
	line("protocol bgp session {")
	line("  local %s port %d as %d; neighbor %s port %d as %d;", p.addr, p.port, p.asn, p.remote(), p.to, p.remoteAS())
	line("  connect delay time 1; connect retry time 1; error wait time 1,1; error forget time 1; startup hold time 20;")
	if p.gtsm {
		line("  multihop 1; ttl security on;")
	} else {
		line("  multihop 2;")
	}
	if p.passive {
		line("  passive on;")
	}
	if p.password != "" {
		line("  password %q;", p.password)
	}
	if p.restart > 0 {
		line("  graceful restart on; graceful restart time %d;", p.restart)
	}
	if p.longLived > 0 {
		line("  long lived graceful restart on; long lived stale time %d;", p.longLived)
	}
	add := ""
	if p.addPath {
		add = "add paths tx;"
	}
	line("  %s", more.session)
	line("  ipv4 { import all; export filter out4; %s %s };", add, more.channel4)
	if !more.only4 {
		line("  ipv6 { import all; export filter out6; %s %s };", add, more.channel6)
	}
	if p.flows {
		line("  flow4 { table flow4tab; import all; export none; };")
	}
	line("}")
	return c.String()
}

// tables are what BIRD itself says that it announces: the routes of its table that
// pass the export filter. The AS number in front is put there later.
func (b *BirdSpeaker) tables(p *peering) ([]listing, error) {
	var out []listing
	for _, v6 := range []bool{false, true} {
		t, err := b.routes(v6, "export", "session")
		if err != nil {
			return nil, err
		}
		out = append(out, listing{p.view(v6), t.behind(p.asn)})
	}
	return out, nil
}

// withdraw takes what is not in the feed any more out of the configuration.
func (b *BirdSpeaker) withdraw(...string) { b.l.t.Helper(); b.Reload() }

// routes are those of a table, restricted further.
func (b *BirdSpeaker) routes(v6 bool, more ...string) (Table, error) {
	table := "master4"
	if v6 {
		table = "master6"
	}
	out, err := b.ctl(append([]string{"show", "route", "table", table, "all"}, more...)...)
	if err != nil && !strings.Contains(out, "Network not found") {
		return nil, fmt.Errorf("%w: %s", err, clip(out, 200))
	}
	return birdTable(out), nil
}

// heard are the routes that BIRD has from ribtap.
func (b *BirdSpeaker) heard() (Table, error) {
	all, err4 := b.routes(false, "protocol", "session")
	t6, err6 := b.routes(true, "protocol", "session")
	maps.Copy(all, t6)
	return all, errors.Join(err4, err6)
}
