package speaker

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestKeyring asks for the fewest keys.
func TestKeyring(t *testing.T) {
	t.Parallel()
	zone := func(p Peer, zone string) Peer { p.Zone = zone; return p }
	for _, test := range []struct {
		name  string
		peers []Peer
		want  map[string]string
	}{
		{"nobody", nil, nil},
		{"without", []Peer{peer("a", "10.0.0.1")}, nil},
		{
			"one secret in a range",
			[]Peer{
				withPassword(peer("a", "10.0.0.1"), "x"), withPassword(peer("r", "10.0.0.0/24"), "x"), withPassword(peer("b", "10.0.0.2"), "y"),
				withPassword(peer("inner", "10.0.0.0/28"), "x"),
			},
			map[string]string{"10.0.0.0/24": "x", "10.0.0.2/32": "y"},
		},
		{
			"a secret again inside another",
			[]Peer{withPassword(peer("r", "10.0.0.0/8"), "x"), withPassword(peer("s", "10.1.0.0/16"), "y"), withPassword(peer("a", "10.1.0.1"), "x")},
			map[string]string{"10.0.0.0/8": "x", "10.1.0.0/16": "y", "10.1.0.1/32": "x"},
		},
		{
			"protected inside an open range",
			[]Peer{peer("r", "10.0.0.0/24"), withPassword(peer("a", "10.0.0.1"), "x")},
			map[string]string{"10.0.0.1/32": "x"},
		},
		{
			"IPv4 in IPv6 form, and host bits",
			[]Peer{withPassword(peer("a", "::ffff:10.0.0.1"), "x"), withPassword(peer("r", "2001:db8::1/64"), "y")},
			map[string]string{"10.0.0.1/32": "x", "2001:db8::/64": "y"},
		},
		{
			"one link-local address on two interfaces",
			[]Peer{zone(withPassword(peer("a", "fe80::1"), "x"), "eth0"), zone(withPassword(peer("b", "fe80::1"), "x"), "eth1")},
			map[string]string{"fe80::1/128": "x"},
		},
	} {
		ring, err := newKeyring(test.peers)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got := map[string]string{}
		for p, k := range ring {
			got[p.String()] = k.password
		}
		if !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestKeyringRefuses what no kernel can do, whatever the order, and tells no secret.
func TestKeyringRefuses(t *testing.T) {
	t.Parallel()
	ao := func(p Peer, keys ...AOKey) Peer { p.AO = keys; return p }
	zone := func(p Peer, zone string) Peer { p.Zone = zone; return p }
	one := AOKey{SendID: 1, RecvID: 1, Key: "secret"}
	for _, test := range []struct {
		words string
		peers []Peer
	}{
		{
			"peer open has no password, but its address 10.0.0.1/32 is inside the range of peer r, which has a password",
			[]Peer{peer("open", "10.0.0.1"), withPassword(peer("r", "10.0.0.0/24"), "secret")},
		},
		{
			"peer open has no password, but its address 10.0.0.1/32 is inside the range of peer r, which has TCP-AO keys",
			[]Peer{peer("open", "10.0.0.1"), ao(peer("r", "10.0.0.0/24"), one)},
		},
		{
			"the kernel takes one kind",
			[]Peer{withPassword(peer("a", "10.0.0.1"), "secret"), ao(peer("r", "10.0.0.0/24"), one)},
		},
		{
			"the kernel takes one kind",
			[]Peer{ao(peer("a", "10.0.0.1"), one), withPassword(peer("r", "10.0.0.0/24"), "secret")},
		},
		{
			"on two interfaces, but another password and another password: the kernel keeps one key",
			[]Peer{zone(withPassword(peer("a", "fe80::1"), "secret1"), "eth0"), zone(withPassword(peer("b", "fe80::1"), "secret2"), "eth1")},
		},
		{
			"the kernel keeps one key for both",
			[]Peer{zone(withPassword(peer("a", "fe80::1"), "secret"), "eth0"), zone(peer("b", "fe80::1"), "eth1")},
		},
		{`not "md5"`, []Peer{ao(peer("a", "10.0.0.1"), AOKey{Key: "secret", Algorithm: "md5"})}},
		{"1 to 80 octets", []Peer{ao(peer("a", "10.0.0.1"), AOKey{})}},
		{"1 to 80 octets", []Peer{ao(peer("a", "10.0.0.1"), AOKey{Key: strings.Repeat("secret", 14)})}},
		{"the same id", []Peer{ao(peer("a", "10.0.0.1"), one, AOKey{SendID: 1, RecvID: 2, Key: "secret"})}},
		{"the same id", []Peer{ao(peer("a", "10.0.0.1"), one, AOKey{SendID: 2, RecvID: 1, Key: "secret"})}},
		{"exclude each other", []Peer{withPassword(ao(peer("a", "10.0.0.1"), one), "secret")}},
	} {
		for range 2 {
			_, err := newKeyring(test.peers)
			if err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("%v, want %q", err, test.words)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q tells a secret", err)
			}
			slices.Reverse(test.peers)
		}
	}
}

func TestCarriedBy(t *testing.T) {
	t.Parallel()
	ring := keyring{}
	for _, p := range []string{"10.0.0.0/8", "2001:db8::/32"} {
		ring[netip.MustParsePrefix(p)] = key{password: "x"}
	}
	for _, test := range []struct {
		form form
		want int
	}{{plainForm, 1}, {form{domain: 10}, 2}, {form{domain: 10, only6: true}, 1}} {
		if got := ring.carriedBy(test.form); len(got) != test.want {
			t.Errorf("%+v: %d keys, want %d", test.form, len(got), test.want)
		}
	}
}
