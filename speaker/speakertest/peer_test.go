package speakertest_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker/speakertest"
)

func TestPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		one, two := speakertest.New(t, a), speakertest.New(t, b)
		open := speakertest.Open(65001, "192.0.2.1")
		go one.Send(open[:30], open[30:], speakertest.Keepalive())
		if got := two.Expect(bgp.MessageOpen); string(got) != string(open) {
			t.Errorf("got %x", got)
		}
		two.ExpectHex(bgp.MessageKeepalive, "")
		two.ExpectNothing(time.Hour)
		one.Send(bgp.AppendCeaseText(nil, bgp.CeaseAdminShutdown, "bye"))
		one.Close()
		two.ExpectNotification(6, 2, "03 627965")
	})
}
