package speaker

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ribtap/ribtap/bgp"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newEngineRig(t, engineConfig(enginePeer()))
		p := r.session()
		r.call("198.51.100.1").ExpectClosed()
		want := func(text string) {
			t.Helper()
			err := testutil.GatherAndCompare(r.reg, strings.NewReader(text),
				"ribtap_bgp_sessions", "ribtap_bgp_messages_total", "ribtap_bgp_notifications_total", "ribtap_bgp_refused_total")
			if err != nil {
				t.Error(err)
			}
		}
		const head = `
# HELP ribtap_bgp_messages_total BGP messages, by type.
# TYPE ribtap_bgp_messages_total counter
ribtap_bgp_messages_total{direction="received",type="KEEPALIVE"} 1
ribtap_bgp_messages_total{direction="received",type="OPEN"} 1
ribtap_bgp_messages_total{direction="received",type="ROUTE-REFRESH"} 0
ribtap_bgp_messages_total{direction="received",type="UPDATE"} 0
ribtap_bgp_messages_total{direction="sent",type="KEEPALIVE"} 1
ribtap_bgp_messages_total{direction="sent",type="NOTIFICATION"} 0
ribtap_bgp_messages_total{direction="sent",type="OPEN"} 1
ribtap_bgp_messages_total{direction="sent",type="ROUTE-REFRESH"} 0
ribtap_bgp_messages_total{direction="sent",type="UPDATE"} 2
# HELP ribtap_bgp_refused_total Connections closed before a message was read.
# TYPE ribtap_bgp_refused_total counter
ribtap_bgp_refused_total{reason="unknown-source"} 1
# HELP ribtap_bgp_sessions Neighbours by state of their session.
# TYPE ribtap_bgp_sessions gauge
ribtap_bgp_sessions{state="connect"} 0
ribtap_bgp_sessions{state="idle"} 0
ribtap_bgp_sessions{state="open-confirm"} 0
ribtap_bgp_sessions{state="open-sent"} 0
`
		synctest.Wait()
		want(head + `
ribtap_bgp_sessions{state="active"} 0
ribtap_bgp_sessions{state="established"} 1
ribtap_bgp_messages_total{direction="received",type="NOTIFICATION"} 0
`)
		p.Send(bgp.AppendCeaseText(nil, bgp.CeaseAdminReset, ""))
		p.ExpectClosed()
		synctest.Wait()
		want(head + `
ribtap_bgp_sessions{state="active"} 1
ribtap_bgp_sessions{state="established"} 0
ribtap_bgp_messages_total{direction="received",type="NOTIFICATION"} 1
# HELP ribtap_bgp_notifications_total NOTIFICATION messages, by error code.
# TYPE ribtap_bgp_notifications_total counter
ribtap_bgp_notifications_total{code="6",direction="received"} 1
`)
	})
}
