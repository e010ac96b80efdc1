//go:build integration

package integration

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// ExaBGP is an exabgp that announces a feed to ribtap, and what it is told to.
type ExaBGP struct {
	l    *Lab
	p    *peering
	proc *Proc
}

// StartExaBGP starts it.
func (l *Lab) StartExaBGP(p *peering) *ExaBGP {
	l.t.Helper()
	e := &ExaBGP{l: l, p: p}
	if err := syscall.Mkfifo(e.say(), 0o600); err != nil {
		l.t.Fatal(err)
	}
	// It hands over what comes out of the pipe, and holds it open until it is told
	// to end.
	script := l.write(p.name+".sh", fmt.Sprintf("#!/bin/sh\nexec 3<>%s\nwhile read -r line <&3; do [ \"$line\" != end ] || exit; echo \"$line\"; done\n", e.say()))
	conf := l.write(p.name+".conf", e.config(script))
	env := []string{
		"env", "exabgp.daemon.user=root", "exabgp.daemon.drop=false", "exabgp.api.cli=false", "exabgp.api.ack=false",
		"exabgp.log.level=INFO", "exabgp.log.destination=stdout", "exabgp.log.parser=false",
	}
	if p.passive {
		env = append(env, "exabgp.tcp.bind="+p.addr, fmt.Sprintf("exabgp.tcp.port=%d", p.port))
	}
	e.proc = l.start(p.name, installed.command(l.t, append(env, "exabgp", conf)...)...)
	// The script outlives an exabgp that is killed.
	l.t.Cleanup(func() {
		e.proc.Kill()
		e.order("end")
	})
	return e
}

func (e *ExaBGP) say() string { return e.l.path(e.p.name + ".say") }

func (e *ExaBGP) config(script string) string {
	p := e.p
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("process api { run /bin/sh %s; encoder text; }", script)
	line("neighbor %s {\n  router-id 10.0.0.50;\n  local-address %s;\n  local-as %d;\n  peer-as %d;", p.remote(), p.addr, p.asn, ribtapAS)
	if p.passive {
		line("  passive true; listen %d;", p.port)
	} else {
		line("  connect %d;", p.to)
	}
	if p.password != "" {
		line("  md5-password %q;", p.password)
	}
	if p.gtsm {
		line("  outgoing-ttl 255; incoming-ttl 255;")
	}
	line("  capability { route-refresh enable; asn4 enable; extended-message enable; }")
	line("  family { ipv4 unicast; ipv6 unicast; }\n  api { processes [ api ]; }\n  static {")
	for i := range p.feed.routes {
		line("    %s;", e.route(&p.feed.routes[i]))
	}
	line("  }\n}")
	return b.String()
}

// route is one of the feed in ExaBGP's words.
func (e *ExaBGP) route(r *feedRoute) string {
	var b strings.Builder
	hop := e.p.feed.nextHop4
	if r.family(true) {
		hop = e.p.feed.nextHop6
	}
	fmt.Fprintf(&b, "route %s next-hop %s origin %s med %d as-path %v", r.prefix, hop, strings.ToLower(r.origin), r.med, append([]uint32{e.p.asn}, r.path...))
	var ext []string
	for _, c := range r.ext {
		ext = append(ext, "target:"+strings.TrimPrefix(c, "rt:"))
	}
	for _, list := range []struct {
		word   string
		values []string
	}{{"community", r.communities}, {"large-community", r.large}, {"extended-community", ext}} {
		if len(list.values) > 0 {
			fmt.Fprintf(&b, " %s [ %s ]", list.word, strings.Join(list.values, " "))
		}
	}
	return b.String()
}

// order gives ExaBGP a line of its API.
func (e *ExaBGP) order(format string, args ...any) {
	e.l.t.Helper()
	f, err := os.OpenFile(e.say(), os.O_RDWR, 0)
	if err != nil {
		e.l.t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, format+"\n", args...)
	if err := errors.Join(err, f.Close()); err != nil {
		e.l.t.Fatal(err)
	}
}

// withdraw takes prefixes back.
func (e *ExaBGP) withdraw(prefixes ...string) {
	e.l.t.Helper()
	for _, prefix := range prefixes {
		hop := e.p.feed.nextHop4
		if strings.Contains(prefix, ":") {
			hop = e.p.feed.nextHop6
		}
		e.order("withdraw route %s next-hop %s", prefix, hop)
	}
}

// tables are what it was configured to announce: it has no table to ask for.
func (e *ExaBGP) tables(p *peering) ([]listing, error) { return p.wanted(), nil }
