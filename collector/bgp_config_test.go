package collector

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestSpeakerConfig(t *testing.T) {
	for _, c := range []struct {
		name    string
		speaker SpeakerConfig
		ok      bool
	}{
		{"none", SpeakerConfig{}, true},
		{"whole", SpeakerConfig{Name: "bgp", RouterID: speakerID}, true},
		{"no router id", SpeakerConfig{Name: "bgp"}, false},
		{"IPv6 router id", SpeakerConfig{Name: "bgp", RouterID: netip.MustParseAddr("2001:db8::1")}, false},
		{"a router's name", SpeakerConfig{Name: "r1", RouterID: speakerID}, false},
		{"a router's address", SpeakerConfig{Name: "bgp", RouterID: netip.MustParseAddr("192.0.2.1")}, false},
	} {
		cfg := DefaultConfig()
		cfg.Speaker = c.speaker
		cfg.Routers = []RouterConfig{{Name: "r1", Address: netip.MustParseAddr("192.0.2.1")}}
		if err := cfg.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestBGPWithoutRun: a source that does not run takes no session.
func TestBGPWithoutRun(t *testing.T) {
	c, err := New(DefaultConfig(), nowhere{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	b := c.BGP()
	if _, err := b.Up(t.Context(), (&speakerRig{}).neighbour(peerA).session()); err == nil {
		t.Error("a session is up")
	}
	if err := b.Run(t.Context(), nil); err == nil {
		t.Error("a source without a name runs")
	}
}
