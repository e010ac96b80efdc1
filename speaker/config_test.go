package speaker

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/bgp"
)

func TestConfigValidate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   string // in the error; empty: sound
	}{
		{"default", func(*Config) {}, ""},
		{"hold time 0", func(c *Config) { c.Peers[0].HoldTime = 0 }, ""},
		{"mirror", func(c *Config) { c.ASN, c.Peers[0].Mirror = 0, true }, ""},
		{"interface", func(c *Config) { c.Peers[0].Address, c.Peers[0].Zone = netip.MustParsePrefix("fe80::1/128"), "eth0" }, ""},
		{"no name", func(c *Config) { c.Peers[0].Name = "" }, "no name"},
		{"same name", func(c *Config) {
			c.Peers = append(c.Peers, enginePeer(func(p *Peer) { p.Address = netip.MustParsePrefix("192.0.2.2/32") }))
		}, "called one"},
		{"same address", func(c *Config) { c.Peers = append(c.Peers, enginePeer(func(p *Peer) { p.Name = "two" })) }, "same address"},
		{"host bits", func(c *Config) { c.Peers[0].Address = netip.MustParsePrefix("192.0.2.1/24") }, "not an address or a range"},
		{"no address", func(c *Config) { c.Peers[0].Address = netip.Prefix{} }, "not an address or a range"},
		{"link-local without interface", func(c *Config) { c.Peers[0].Address = netip.MustParsePrefix("fe80::1/128") }, "needs its interface"},
		{"range that dials", func(c *Config) { c.Peers[0].Address, c.Peers[0].Active = netip.MustParsePrefix("192.0.2.0/24"), true }, "cannot be dialled"},
		{"no AS", func(c *Config) { c.ASN = 0 }, "no AS number"},
		{"no router id", func(c *Config) { c.RouterID = netip.Addr{} }, "no router id"},
		{"router id of IPv6", func(c *Config) { c.RouterID = netip.MustParseAddr("2001:db8::1") }, "no router id"},
		{"hold time 2s", func(c *Config) { c.Peers[0].HoldTime = 2 * time.Second }, "hold time"},
		{"hold time 1.5s", func(c *Config) { c.Peers[0].HoldTime = 4500 * time.Millisecond }, "hold time"},
		{"least hold time", func(c *Config) { c.Peers[0].MinHoldTime = time.Hour }, "least hold time"},
		{"retry", func(c *Config) { c.Peers[0].ConnectRetry, c.Peers[0].Active = 0, true }, "connect retry"},
		{"send hold", func(c *Config) { c.Peers[0].SendHold = time.Minute }, "RFC 9687"},
		{"no families", func(c *Config) { c.Peers[0].Families = nil }, "no address families"},
		{"a family twice", func(c *Config) { c.Peers[0].Families = []bgp.Family{bgp.EVPN, bgp.EVPN} }, "twice"},
		{"too many families", func(c *Config) {
			for i := range 65 {
				c.Peers[0].Families = append(c.Peers[0].Families, bgp.NewFamily(99, bgp.SAFI(i)))
			}
		}, "more than 64"},
		{"mirror that dials", func(c *Config) { c.Peers[0].Mirror, c.Peers[0].Active = true, true }, "OPEN is waited for"},
		{"mirror at once", func(c *Config) { c.Peers[0].Mirror, c.Peers[0].DelayOpen = true, 0 }, "OPEN is waited for"},
		{"long password", func(c *Config) { c.Peers[0].Password = strings.Repeat("x", 81) }, "80 octets"},
		{"two protections", func(c *Config) { c.Peers[0].Password, c.Peers[0].AO = "x", []AOKey{{Key: "x"}} }, "exclude each other"},
		{"no sessions", func(c *Config) { c.MaxSessions = 0 }, "at least 1"},
		{"negative delay", func(c *Config) { c.InitialDelay = -1 }, "negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := engineConfig(enginePeer())
			tc.change(&cfg)
			err := cfg.Validate()
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestASNs(t *testing.T) {
	for text, want := range map[string]string{ // of 65001, 65002 when ours is 65001
		"any": "yes yes", "internal": "yes no", "external": "no yes", "65002": "no yes", "65001, 65002": "yes yes", "1": "no no",
	} {
		a, err := ParseASNs(text)
		if err != nil {
			t.Fatal(err)
		}
		word := map[bool]string{true: "yes", false: "no"}
		got := word[a.Has(65001, 65001)] + " " + word[a.Has(65002, 65001)]
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if again, err := ParseASNs(a.String()); err != nil || again.String() != a.String() {
			t.Errorf("%s is written %s", text, a)
		}
	}
	for _, text := range []string{"0", "65001,", "x", "4294967296", "-1"} {
		if a, err := ParseASNs(text); err == nil {
			t.Errorf("%q is %v", text, a)
		}
	}
}
