package mrtdump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
)

// story is what the crash tests write: four intervals, one of them quiet, three
// trees, a peer that goes down and comes back.
func story() []event.Event {
	again := *peerA
	again.Epoch = 2
	pre, post := event.AdjRIBInPre, event.AdjRIBInPost
	events := []event.Event{
		peerEvent(event.KindPeerUp, peerA), announce(peerA, pre, "10.0.0.0/24"), announce(peerA, post, "10.0.0.0/24"),
		announce(peerA, pre, "10.0.1.0/24"), peerEvent(event.KindPeerUp, peerLoc), announce(peerLoc, event.LocRIB, "10.0.0.0/24"),
		announce(peerC, pre, "10.0.2.0/24"), peerEvent(event.KindStats, peerA), announce(peerA, pre, "10.0.3.0/24"), mixedEvent(),
		// the next interval
		announce(peerA, pre, "10.0.4.0/24"), announce(peerA, post, "10.0.4.0/24"), announce(peerA, pre, "10.0.5.0/24"),
		inferred(peerEvent(event.KindPeerDown, peerA), event.CauseSessionLost), inferred(withdraw(peerA, pre, "10.0.4.0/24"), event.CauseSessionLost),
		peerEvent(event.KindPeerUp, &again), announce(&again, pre, "10.0.6.0/24"),
		// after a quiet one
		announce(&again, pre, "10.0.7.0/24"), announce(&again, post, "10.0.7.0/24"), withdraw(&again, pre, "10.0.6.0/24"),
		inferred(withdraw(&again, pre, "10.0.0.0/24"), event.CauseStaleSweep), peerEvent(event.KindPeerDown, &again),
	}
	seconds := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 310, 311, 312, 313, 314, 315, 316, 910, 911, 912, 913, 914}
	return timed(1, seconds, events...)
}

const crashDir = "/archive"

// crashConfig leaves compression out: it takes nearly all of the time and no
// step of its own.
func crashConfig() Config {
	cfg := testConfig(crashDir)
	cfg.Compression = CompressionNone
	return cfg
}

// process is one life of the sink: it writes the story from where the archive
// is, in batches of n, and closes. A failed step is tried again, as the stream's
// follower does.
func process(d *memDisk, c *clock, events []event.Event, n int) error {
	s, err := newSink(crashConfig(), slog.New(slog.DiscardHandler), nil, nil, d, c.now)
	for errors.Is(err, errFailed) {
		s, err = newSink(crashConfig(), slog.New(slog.DiscardHandler), nil, nil, d, c.now)
	}
	if err != nil {
		return err
	}
	ctx := context.Background()
	again := func(f func() error) error {
		err := f()
		for errors.Is(err, errFailed) {
			err = f()
		}
		return err
	}
	for i := int(s.Position()); i < len(events); i += n {
		batch := events[i:min(i+n, len(events))]
		c.set(batch[len(batch)-1].Received.Std().Add(500 * time.Millisecond))
		if err := again(func() error { return eventtest.Trash(s).Write(ctx, batch) }); err != nil {
			return err
		}
		if i%3 == 0 {
			if err := again(func() error { return s.Idle(ctx, c.now()) }); err != nil {
				return err
			}
		}
	}
	c.set(at0.Add(1300 * time.Second))
	if err := again(func() error { return s.Idle(ctx, c.now()) }); err != nil {
		return err
	}
	err = s.Close(ctx)
	if errors.Is(err, errFailed) {
		return process(d, c, events, n) // Close is not tried again; the next start recovers
	}
	if err == nil && s.Position() != uint64(len(events)) {
		return fmt.Errorf("Position %d after Close", s.Position())
	}
	return err
}

// memArchive reads the archive on d: lines of each file that is not empty.
func memArchive(t *testing.T, d *memDisk) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for name, node := range d.files {
		if isTemporary(name) {
			t.Errorf("%s is left over", name)
			continue
		}
		if strings.Contains(name, "/updates.") {
			if l := lines(t, bytes.NewReader(node.data)); len(l) > 0 {
				out[name] = l
			}
		}
	}
	return out
}

// checkIndex compares csvfile.csv with the files that are there.
func checkIndex(t *testing.T, d *memDisk) {
	t.Helper()
	var files, listed []string
	for name, node := range d.files {
		switch {
		case strings.Contains(name, "/updates."):
			files = append(files, name)
		case filepath.Base(name) == indexName:
			for line := range strings.Lines(string(node.data)) {
				if fields := strings.Split(line, ","); len(fields) == 7 && strings.HasSuffix(line, "\n") {
					listed = append(listed, fields[0])
				} else {
					t.Errorf("torn line %q", line)
				}
			}
		}
	}
	slices.Sort(files)
	slices.Sort(listed)
	if diff := cmp.Diff(files, listed); diff != "" {
		t.Errorf("csvfile (-files +listed):\n%s", diff)
	}
}

// TestEveryStep ends the process, or lets the disk fail, at every single step
// of the story's life, and goes on with the archive that is left. Each file must
// hold the records of an undisturbed life: none doubled, none missing.
func TestEveryStep(t *testing.T) {
	events := story()
	for _, n := range []int{1, 5, 30} {
		undisturbed := newMemDisk()
		if err := process(undisturbed, &clock{t: at0}, events, n); err != nil {
			t.Fatal(err)
		}
		want := memArchive(t, undisturbed)
		checkIndex(t, undisturbed)
		if len(want) != 7 {
			t.Fatalf("%d files: %v", len(want), want)
		}
		for step := 1; step <= undisturbed.steps; step++ {
			for _, how := range []string{"kill", "power", "power and chance", "failure", "kill twice"} {
				d := newMemDisk()
				c := &clock{t: at0}
				chance := rand.New(rand.NewPCG(uint64(step), uint64(n)))
				switch how {
				case "failure":
					d.failAt = step
				default:
					d.dieAt = step
				}
				err := process(d, c, events, n)
				for lives := 1; errors.Is(err, errDead); lives++ {
					if how != "power and chance" {
						d = d.crash(how == "power", nil)
					} else {
						d = d.crash(true, chance)
					}
					if how == "kill twice" && lives == 1 {
						d.dieAt = 1 + chance.IntN(12)
					}
					err = process(d, c, events, n)
				}
				if err != nil {
					t.Fatalf("batches of %d, %s at step %d: %v", n, how, step, err)
				}
				if diff := cmp.Diff(want, memArchive(t, d)); diff != "" {
					t.Fatalf("batches of %d, %s at step %d (-want +got):\n%s", n, how, step, diff)
				}
				checkIndex(t, d)
				if t.Failed() {
					t.Fatalf("batches of %d, %s at step %d", n, how, step)
				}
			}
		}
		t.Logf("batches of %d: %d steps", n, undisturbed.steps)
	}
}

// TestTornTail cuts and lengthens the open file behind what state.json says.
func TestTornTail(t *testing.T) {
	events := story()[:8]
	d := newMemDisk()
	c := &clock{t: at0}
	s, err := newSink(crashConfig(), slog.New(slog.DiscardHandler), nil, nil, d, c.now)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := s.Write(ctx, events[:4]); err != nil {
		t.Fatal(err)
	}
	c.set(at0.Add(2 * time.Second))
	if err := s.Idle(ctx, c.now()); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(ctx, events[4:]); err != nil {
		t.Fatal(err)
	}
	var want map[string][]string
	tmp := crashDir + "/rt1/2026.11/updates.20261124.0400.tmp"
	whole := d.files[tmp].data
	committed := int(s.open[event.AdjRIBInPre].size) - len(whole)
	if committed >= len(whole) {
		t.Fatal("nothing is open behind the commit")
	}
	var st state
	if st, err = loadState(d, crashDir); err != nil {
		t.Fatal(err)
	}
	for cut := int(st.Open[0].Size); cut <= len(whole); cut++ {
		n := d.crash(false, nil)
		n.files[tmp].data = n.files[tmp].data[:cut]
		if err := process(n, &clock{t: at0}, story()[:8], 3); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		got := memArchive(t, n)
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("cut at %d (-want +got):\n%s", cut, diff)
		}
	}
	if len(want) != 3 || len(want[crashDir+"/rt1/2026.11/updates.20261124.0400"]) != 4 {
		t.Errorf("archive %v", want)
	}
}

// TestIndexTornLine cuts csvfile.csv anywhere: a torn last line goes, whole ones stay.
func TestIndexTornLine(t *testing.T) {
	const before = "/a/b,ribtap,updates,rt1,1,300,2\n"
	for cut := range len(before) + 1 {
		d := newMemDisk()
		if err := d.MkdirAll(crashDir + "/rt1"); err != nil {
			t.Fatal(err)
		}
		name := crashDir + "/rt1/" + indexName
		d.files[name] = &inode{data: []byte(before + before[:cut])}
		x := &index{cfg: crashConfig(), disk: d}
		for range 2 {
			l := indexLine{view: event.AdjRIBInPre, kind: typeUpdates, final: "x,y", start: 1, span: 300, now: 3, again: true}
			if err := x.add(&l); err != nil {
				t.Fatal(err)
			}
		}
		want := before
		if cut == len(before) {
			want += before
		}
		want += `"/archive/x,y",ribtap,updates,rt1,1,300,3` + "\n"
		if got := string(d.files[name].data); got != want {
			t.Errorf("cut at %d: %q", cut, got)
		}
	}
}

// TestForeignState refuses what it does not understand rather than beginning anew.
func TestForeignState(t *testing.T) {
	for _, content := range []string{"", "{", `{"version":2}`, `{"version":1,"open":[{"view":"x"}]}`} {
		d := newMemDisk()
		if err := d.MkdirAll(crashDir); err != nil {
			t.Fatal(err)
		}
		d.files[crashDir+"/"+stateName] = &inode{data: []byte(content)}
		if _, err := newSink(crashConfig(), slog.New(slog.DiscardHandler), nil, nil, d, (&clock{t: at0}).now); err == nil {
			t.Errorf("state %q is accepted", content)
		}
	}
}
