package main

import (
	"log/slog"
	"net"
	"testing"
)

// TestSameListen: a socket of systemd is for an address of the configuration, however
// either is written.
func TestSameListen(t *testing.T) {
	for _, c := range []struct {
		config, socket string
		want           bool
	}{
		{"127.0.0.1:11019", "127.0.0.1:11019", true},
		{"127.0.0.1:11019", "127.0.0.1:11020", false},
		{"127.0.0.1:11019", "127.0.0.2:11019", false},
		{"0.0.0.0:11019", "[::]:11019", true},
		{":11019", "[::]:11019", true},
		{"127.0.0.1:11019", "[::]:11019", false},
		{"[::1]:179", "[::1]:179", true},
		{"127.0.0.1:179", "[::ffff:127.0.0.1]:179", true},
		{"localhost:179", "127.0.0.1:179", false},
		{"179", "[::]:179", false},
	} {
		if got := sameListen(c.config, c.socket); got != c.want {
			t.Errorf("%s and %s: %v", c.config, c.socket, got)
		}
	}
}

// TestInherited: each socket is taken once, and what nobody takes is closed.
func TestInherited(t *testing.T) {
	var list []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		list = append(list, l)
	}
	first := list[0]
	i := &inherited{list: list}
	addr, other := first.Addr().String(), list[1].Addr().String()
	if l := i.take(addr); l != first {
		t.Errorf("took %v", l)
	}
	if l := i.take(addr); l != nil {
		t.Errorf("took %v again", l.Addr())
	}
	i.rest(slog.New(slog.DiscardHandler))
	if c, err := net.Dial("tcp", other); err == nil {
		c.Close()
		t.Errorf("%s is open still", other)
	}
}
