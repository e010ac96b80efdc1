package collector

import (
	"testing"
	"time"
)

// TestStationWithoutInitiationAndPeerUp is an exporter that begins each session in
// the middle: Route Monitoring is all that it sends, also after a reconnection. Its
// routes are told as of a peer that is not known, and end with their session.
func TestStationWithoutInitiationAndPeerUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig(t, nil)
		h := peerHeader("192.0.2.10", 0)
		f := r.connect("198.51.100.1:40000")
		f.send(update(h, 1, "+10.0.0.0/8", "+10.1.0.0/16"), update(h, 0, "-10.1.0.0/16"))
		r.want("router-up 198.51.100.1 inferred", "route 192.0.2.10 peer-unknown +10.0.0.0/8/c/s +10.1.0.0/16/c/s",
			"route 192.0.2.10 peer-unknown -10.1.0.0/16/c/s")
		f.close()
		r.want("router-down 198.51.100.1 session-lost inferred", "route 192.0.2.10 session-lost inferred -10.0.0.0/8/c/s")
		time.Sleep(minute)
		f = r.connect("198.51.100.1:40001")
		f.send(update(h, 1, "+10.2.0.0/16"))
		r.want("router-up 198.51.100.1 inferred", "route 192.0.2.10 peer-unknown +10.2.0.0/16/c/s")
	})
}
