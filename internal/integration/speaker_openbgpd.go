//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// OpenBGPD is an OpenBGPD that announces a feed to ribtap.
type OpenBGPD struct {
	l    *Lab
	p    *peering
	more string
	proc *Proc
}

// StartOpenBGPD starts it; more is further lines of its configuration.
func (l *Lab) StartOpenBGPD(p *peering, more string) *OpenBGPD {
	l.t.Helper()
	o := &OpenBGPD{l: l, p: p, more: more}
	o.prepare()
	o.write()
	o.proc = l.start(p.name, installed.command(l.t, "/usr/sbin/bgpd", "-d", "-v", "-f", o.conf())...)
	l.await(p.name+" to answer bgpctl", 15*time.Second, func() error { _, err := o.ctl("show"); return err })
	return o
}

// prepare makes the folder of its socket, and the one into which its children
// chroot, which the boot would make.
func (o *OpenBGPD) prepare() {
	o.l.t.Helper()
	u, err := user.Lookup("_openbgpd")
	if err != nil {
		o.l.t.Fatalf("%v; run scripts/install-test-deps.sh", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		o.l.t.Fatalf("user _openbgpd: %v, %v", err1, err2)
	}
	if err := os.MkdirAll(u.HomeDir, 0o755); err != nil {
		o.l.t.Fatal(err)
	}
	if err := mkdir(o.l.path(o.p.name)); err != nil {
		o.l.t.Fatal(err)
	}
	if err := os.Chown(o.l.path(o.p.name), uid, gid); err != nil {
		o.l.t.Fatal(err)
	}
}

func (o *OpenBGPD) socket() string { return o.l.path(o.p.name + "/ctl") }
func (o *OpenBGPD) conf() string   { return o.l.path(o.p.name + ".conf") }

// write makes the configuration, which nobody else may read.
func (o *OpenBGPD) write() {
	o.l.t.Helper()
	o.l.write(o.p.name+".conf", o.config())
	if err := os.Chmod(o.conf(), 0o600); err != nil {
		o.l.t.Fatal(err)
	}
}

func (o *OpenBGPD) config() string {
	p := o.p
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("AS %d\nrouter-id 10.0.0.60\nlisten on %s port %d\nfib-update no\nconnect-retry 1\nsocket %q\n%s", p.asn, p.addr, p.port, o.socket(), o.more)
	line("neighbor %s {\n  remote-as %d\n  port %d\n  local-address %s\n  announce IPv4 unicast\n  announce IPv6 unicast", p.remote(), ribtapAS, p.to, p.addr)
	if p.gtsm {
		line("  ttl-security yes")
	} else {
		line("  multihop 2")
	}
	if p.passive {
		line("  passive")
	}
	if p.password != "" {
		line("  tcp md5sig password %q", p.password)
	}
	if p.addPath {
		line("  announce add-path send all")
	}
	line("}")
	for i := range p.feed.routes {
		r := &p.feed.routes[i]
		fmt.Fprintf(&b, "network %s set { metric %d origin %s", r.prefix, r.med, strings.ToLower(r.origin))
		for _, c := range r.communities {
			b.WriteString(" community " + c)
		}
		for _, c := range r.large {
			b.WriteString(" large-community " + c)
		}
		for _, c := range r.ext {
			b.WriteString(" ext-community rt " + strings.TrimPrefix(c, "rt:"))
		}
		if n := len(r.path); n > 0 {
			fmt.Fprintf(&b, " prepend-self %d", n)
		}
		b.WriteString(" }\n")
	}
	b.WriteString("allow from any\nallow to any\n")
	return b.String()
}

func (o *OpenBGPD) ctl(args ...string) ([]byte, error) {
	return output(append([]string{"bgpctl", "-s", o.socket()}, args...)...)
}

// do runs a bgpctl command that must succeed.
func (o *OpenBGPD) do(args ...string) {
	o.l.t.Helper()
	if out, err := o.ctl(args...); err != nil {
		o.l.t.Fatalf("bgpctl: %v: %s", err, out)
	}
}

// withdraw takes what is not in the feed any more out of the configuration.
func (o *OpenBGPD) withdraw(...string) {
	o.l.t.Helper()
	o.write()
	o.do("reload")
}

// tables are what OpenBGPD itself says that it announces.
func (o *OpenBGPD) tables(p *peering) ([]listing, error) {
	out, err := o.ctl("-j", "show", "rib", "out", "neighbor", p.remote(), "detail")
	if err != nil {
		return nil, err
	}
	var answer struct {
		RIB []struct {
			Prefix      string   `json:"prefix"`
			Path        string   `json:"aspath"`
			NextHop     string   `json:"exit_nexthop"`
			Origin      string   `json:"origin"`
			MED         uint32   `json:"metric"`
			Communities []string `json:"communities"`
			Large       []string `json:"large_communities"`
			Ext         []string `json:"extended_communities"` // rt 65000:1
		} `json:"rib"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("show rib out: %w: %s", err, clip(string(out), 200))
	}
	tables := map[bool]Table{false: {}, true: {}}
	for _, r := range answer.RIB {
		a := Attrs{
			Origin: strings.ToUpper(r.Origin), ASPath: r.Path, NextHop: r.NextHop, Communities: sorted(strings.Join(r.Communities, " ")),
			Large: sorted(strings.Join(r.Large, " ")), Ext: sorted(strings.ReplaceAll(strings.Join(r.Ext, ";"), " ", ":")),
		}
		a.Ext = sorted(strings.ReplaceAll(a.Ext, ";", " "))
		if r.MED != 0 { // it shows none as 0, and sends none of 0
			a.MED = fmt.Sprint(r.MED)
		}
		tables[strings.Contains(r.Prefix, ":")][r.Prefix] = a
	}
	return []listing{{p.view(false), tables[false]}, {p.view(true), tables[true]}}, nil
}
