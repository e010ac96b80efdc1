//go:build integration

package integration

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestSpeakerBesideBMP hears one table twice: FRR tells by BMP what its neighbour
// sent and what it uses, and announces it by BGP. Who said it differs, the routes
// do not.
func TestSpeakerBesideBMP(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	feed := NewFeed(170, 200, 0)
	oldP, newP := l.newPeering("frr84", routerAS, nil), l.newPeering("frr103", routerAS+1, nil)
	rt := l.StartSpeaker("", oldP, newP)

	start := func(p *peering, gen generation) *BirdSpeaker {
		q := l.newPeering("to-"+p.name, feederAS4, &Feed{nextHop4: feed.nextHop4, nextHop6: feed.nextHop6, routes: slices.Clone(feed.routes)})
		n := "neighbor " + q.addr
		more := frrMore{
			only4: true,
			router: []string{
				fmt.Sprintf("%s remote-as %d", n, feederAS4), n + " passive", n + " ebgp-multihop 2", n + " update-source " + p.addr,
				"address-family ipv4 unicast", " " + n + " activate", " " + n + " soft-reconfiguration inbound", "exit-address-family",
				"bmp targets station",
				fmt.Sprintf(" bmp connect 127.0.0.1 port %d min-retry 100 max-retry 500", rt.bmpPort),
				" bmp monitor ipv4 unicast pre-policy",
			},
			// Next hop and MED go on as they came.
			family: []string{"neighbor 127.0.0.1 attribute-unchanged next-hop med"},
		}
		if gen == newer {
			more.router = append(more.router, " bmp monitor ipv4 unicast loc-rib")
		}
		more.router = append(more.router, "exit")
		l.StartFRRSpeaker(gen, p, more)
		return l.StartBirdSpeaker(bird2, q.towards(p), birdMore{only4: true})
	}
	type both struct {
		*peering
		bird *BirdSpeaker
		ribs []string
	}
	for _, b := range []both{{oldP, start(oldP, installed), []string{pre}}, {newP, start(newP, newer), []string{pre, loc}}} {
		agree := func() error {
			rows, err := rt.Routes()
			if err != nil {
				return err
			}
			// By BGP they are of a peer of ribtap's own speaker, by BMP of FRR's.
			want := b.bird.p.feed.Table(false, feederAS4).behind(b.asn)
			byBGP, err := table(rows, who{router: speakerID, peer: b.addr, rib: pre})
			errs := []error{err, differ("by BGP", byBGP, want)}
			for _, rib := range b.ribs {
				peer := b.bird.p.addr
				if rib == loc {
					peer = frrLocRIB
				}
				byBMP, err := table(ofRouter(rows, b.name), who{router: "127.0.0.1", peer: peer, rib: rib})
				errs = append(errs, err, differ("by BMP, "+rib, byBMP, byBGP))
			}
			return errors.Join(errs...)
		}
		l.Run(b.name, func(t *testing.T) {
			l.await("one table by BMP and by BGP", 40*time.Second, agree)
			before := rt.settle()
			gone := b.bird.p.feed.remove(false, 20, 10)
			b.bird.Reload()
			l.await("both to lose routes", 20*time.Second, agree)
			perRIB := map[string][]string{}
			for _, r := range news(must(rt.changes(before.sequence))(t)) {
				if r.PeerAddress == b.addr || r.PeerAddress == b.bird.p.addr || r.PeerAddress == frrLocRIB {
					perRIB[r.Router+" "+r.RIB] = append(perRIB[r.Router+" "+r.RIB], r.Action+" "+r.Prefix)
				}
			}
			var want []string
			for _, p := range gone {
				want = append(want, "withdraw "+p)
			}
			where := []string{"lab " + pre}
			for _, rib := range b.ribs {
				where = append(where, b.name+" "+rib)
			}
			for _, w := range where {
				if err := same("changes in "+w, perRIB[w], want); err != nil {
					t.Error(err)
				}
				delete(perRIB, w)
			}
			if len(perRIB) != 0 {
				t.Errorf("changes elsewhere: %v", perRIB)
			}
		})
	}
	rt.Stop()
}

// ofRouter keeps the rows of one router.
func ofRouter(rows []Route, name string) (out []Route) {
	for _, r := range rows {
		if r.Router == name {
			out = append(out, r)
		}
	}
	return out
}
