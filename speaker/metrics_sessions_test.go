package speaker

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ribtap/ribtap/speaker/speakertest"
)

// TestSessionCounters: dials, connections and sessions are counted over all
// neighbours, as each of them counts its own.
func TestSessionCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer(func(p *Peer) { p.Active = true }), enginePeer(func(p *Peer) {
			p.Name, p.Address = "two", netip.MustParsePrefix("192.0.2.2/32")
		})))
		for range 2 {
			p := r.answer()
			p.Handshake(speakertest.Open(65001, "192.0.2.1"))
			<-r.h.up
			p.Close()
		}
		r.answer().Close() // before it said anything
		r.call("192.0.2.2").Close()
		synctest.Wait()
		var text strings.Builder
		for _, c := range []struct {
			name, help string
			n          int
		}{
			{"connection_attempts", "Connections that were dialled.", 3},
			{"connections", "Connections that came about, dialled and accepted.", 4},
			{"established", "Sessions that became Established.", 2},
		} {
			name := "ribtap_bgp_" + c.name + "_total"
			fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %s counter\n%s %d\n", name, c.help, name, name, c.n)
		}
		if err := testutil.GatherAndCompare(r.reg, strings.NewReader(text.String()),
			"ribtap_bgp_connection_attempts_total", "ribtap_bgp_connections_total", "ribtap_bgp_established_total"); err != nil {
			t.Error(err)
		}
		var attempts, connections, sessions uint64
		for _, p := range r.s.Peers() {
			attempts, connections, sessions = attempts+p.Attempts, connections+p.Connections, sessions+p.Sessions
		}
		if attempts != 3 || connections != 4 || sessions != 2 {
			t.Errorf("%d attempts, %d connections, %d sessions in the status", attempts, connections, sessions)
		}
	})
}
