//go:build integration

package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recordings is where -update writes what the daemons sent.
const recordings = "../../fixtures/bmp"

// recorded is a daemon whose BMP session a test records.
type recorded struct {
	target feedTarget
	proc   *Proc
	views  func(*Feed, ...neighbor) ([]listing, error)
}

// TestRecordings records a small day of each daemon: a table, a few changes, a
// peer that goes down, the daemon's end. An import of the recording must give
// the same history, in the same order, as the live session did. With -update
// the recordings go into fixtures/bmp.
func TestRecordings(t *testing.T) {
	for name, start := range map[string]func(l *Lab, station int, deny string) recorded{
		"frr-8.4":    func(l *Lab, station int, deny string) recorded { return recordFRR(l, installed, station, deny) },
		"frr-10.3":   func(l *Lab, station int, deny string) recorded { return recordFRR(l, newer, station, deny) },
		"bird-3.1":   recordBIRD3,
		"gobgp-3.36": recordGoBGP,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testRecording(t, name, start)
		})
	}
}

func recordFRR(l *Lab, gen generation, station int, deny string) recorded {
	frr := l.StartFRR("frr", gen, frrOptions{
		hostname: "frr-lab", station: "127.0.0.1", stationPort: station, deny: deny, network: true, locRIB: gen == newer,
	})
	return recorded{frr.target(), frr.proc, func(feed *Feed, up ...neighbor) ([]listing, error) {
		views, err := frr.views(feed, false, up...)
		if !slices.Contains(up, neighbor4) {
			// FRR 10.3 does not tell that a peer's routes left its Loc-RIB with
			// the peer, when nobody else has them.
			views = slices.DeleteFunc(views, func(v listing) bool { return v.who == who{peer: frrLocRIB, rib: loc} })
		}
		return views, err
	}}
}

func recordBIRD3(l *Lab, station int, deny string) recorded {
	bird := l.StartBird3("bird3", "127.0.0.1", station, deny)
	return recorded{bird.target(), bird.proc, bird.views}
}

func recordGoBGP(l *Lab, station int, deny string) recorded {
	gobgp := l.StartGoBGP("gobgp", newer, station, deny)
	return recorded{gobgp.target(), gobgp.proc, gobgp.views}
}

func testRecording(t *testing.T, name string, start func(l *Lab, station int, deny string) recorded) {
	l := NewLab(t)
	feed := NewFeed(80, 16, 8)
	rt := l.StartRibtap("")
	tee := l.StartTee("127.0.0.1", fmt.Sprintf("127.0.0.1:%d", rt.bmpPort))
	defer func() {
		if t.Failed() {
			octets, _ := tee.recording()
			l.write("failed.bmp", string(octets))
		}
	}()
	router := start(l, tee.port(), feed.denied())
	bird := l.StartFeeder("feeder", feed, router.target, false)
	agrees := func(up ...neighbor) func() error {
		return func() error {
			views, err := router.views(feed, up...)
			return errors.Join(err, rt.agrees(views...))
		}
	}
	l.await("ribtap and the router to agree on the table", 40*time.Second, agrees(neighbor4, neighbor6))
	feed.remove(false, 4, 2)
	feed.remove(true, 2, 2)
	feed.change(false, 8)
	feed.add("172.16.0.0/24")
	bird.Reload()
	l.await("ribtap and the router to agree on changes", 20*time.Second, agrees(neighbor4, neighbor6))
	bird.do("disable", "up4")
	l.await("ribtap and the router to agree without a peer", 20*time.Second, agrees(neighbor6))
	if _, err := router.proc.Terminate(15 * time.Second); err != nil {
		t.Fatal(err)
	}
	l.await("the router to be down", 20*time.Second, rt.isDown)
	rt.settle()
	rt.Stop()

	recording, sessions := tee.recording()
	if sessions != 1 {
		t.Fatalf("the router has opened %d sessions, want one", sessions)
	}
	if len(recording) >= 100_000 {
		t.Errorf("the recording has %d octets, too many for a fixture", len(recording))
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(filepath.Join(recordings, name+".bmp"), recording, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file := l.write(name+".bmp", string(recording))
	again := l.NewRibtap("import", "")
	if _, err := output(again.command("import", file)...); err != nil {
		t.Fatal(err)
	}
	// What ribtap concluded from the end of the session is not in a recording.
	const asked = "SELECT * FROM route_history WHERE cause NOT IN ('session-lost') ORDER BY sequence, position"
	live, imported := must(query[Route](rt, asked))(t), must(query[Route](again, asked))(t)
	if diff := cmp.Diff(inWords(live), inWords(imported)); diff != "" {
		t.Errorf("history of the recording (-live +imported):\n%s", clip(diff, 2000))
	}
	t.Logf("%d octets, %d rows", len(recording), len(live))
	checkArchive(t, rt)
}

// inWords are rows of history without times, numbers and the router's name. The
// routes that end with their peer come in no order of their own, so those that
// stand together are sorted.
func inWords(rows []Route) (out []string) {
	ended := 0 // how many at the end of out ended with their peer
	for i := range rows {
		r := &rows[i]
		out = append(out, fmt.Sprintf("%s %s %d %s %t %+v", r.Action, r.key(), r.PeerASN, r.Cause, r.Changed, r.attrs()))
		if r.Cause == "update" {
			ended = 0
			continue
		}
		ended++
		slices.Sort(out[len(out)-ended:])
	}
	return out
}
