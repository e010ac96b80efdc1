package bgp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/internal/corpus"
)

// stateCases are the cases that only a session's state can judge; the OPENs in
// them, if there are any, are sound.
var stateCases = []string{
	"bgp-open-as-unexpected", "bgp-open-in-established", "bgp-open-keepalive-first", "bgp-open-notification-first",
	"bmp-pup-twice",
}

// TestHostileOpen drives the OPEN and ROUTE-REFRESH cases of a hostile corpus,
// and the OPENs inside its BMP Peer Up cases.
func TestHostileOpen(t *testing.T) {
	dir := corpus.Hostile()
	if dir == "" {
		return
	}
	raw, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Cases []hostileCase `json:"cases"`
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	run := 0
	for _, tc := range manifest.Cases {
		drive := map[string]func(*testing.T, *hostileCase, []byte){
			"bgp-open": driveOpen, "bgp-rr-l": driveRefresh, "bgp-rr-f": driveRefresh, "bgp-rr-o": driveRefresh, "bmp-pup-": drivePeerUp,
		}[tc.ID[:8]]
		if drive == nil || slices.Contains(stateCases, tc.ID) {
			continue
		}
		run++
		t.Run(tc.ID, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(dir, tc.File))
			if err != nil {
				t.Fatal(err)
			}
			drive(t, &tc, b)
		})
	}
	if run < 25 {
		t.Errorf("%d cases", run)
	}
}

// firstMessage cuts the first message off b by its own length alone.
func firstMessage(b []byte) (msg, rest []byte) {
	const lengthAt = 16
	if len(b) < bgp.HeaderLen {
		return b, nil
	}
	n := int(b[lengthAt])<<8 | int(b[lengthAt+1])
	n = max(bgp.HeaderLen, min(n, len(b)))
	return b[:n], b[n:]
}

func driveOpen(t *testing.T, tc *hostileCase, b []byte) {
	msg, _ := firstMessage(b)
	o, err := bgp.ParseOpen(msg)
	got := "ok"
	var merr *bgp.MessageError
	if errors.As(err, &merr) {
		got = fmt.Sprintf("%d/%d", merr.Code, merr.Subcode)
	}
	want := tc.Expect.Notify
	if tc.Expect.Class == "ok" {
		want = []string{"ok"}
	}
	if !slices.Contains(want, got) {
		t.Errorf("%s (%v), want %v; read %s", got, err, want, openText(&o))
	}
}

func driveRefresh(t *testing.T, tc *hostileCase, b []byte) {
	_, err := bgp.ParseRefresh(b)
	if (err != nil) != (tc.Expect.Class == "reset") {
		t.Errorf("error %v, want class %s", err, tc.Expect.Class)
	}
}

// drivePeerUp reads both OPENs of a Peer Up (RFC 7854 §4.10): where the case
// wants the message dropped, one of them is not whole.
func drivePeerUp(t *testing.T, tc *hostileCase, b []byte) {
	const opensAt = 6 + 42 + 20
	if len(b) < opensAt {
		return // cut off before the first OPEN
	}
	sent, rest := firstMessage(b[opensAt:])
	received, _ := firstMessage(rest)
	drop := false
	for _, msg := range [][]byte{sent, received} {
		_, err := bgp.ParseOpen(msg)
		var merr *bgp.MessageError
		if errors.As(err, &merr) && merr.Structural() {
			drop = true
		}
	}
	if drop != (tc.Expect.Class == "drop") {
		t.Errorf("structural error %v, want class %s", drop, tc.Expect.Class)
	}
}

// TestCorpusOpens reads every OPEN and NOTIFICATION of real routers in the
// captures of a corpus: all of them are whole. The OPENs that routers make up for
// their Loc-RIB may say AS 0 or identifier 0.0.0.0.
func TestCorpusOpens(t *testing.T) {
	if corpus.Data() == "" {
		return
	}
	marker := bytes.Repeat([]byte{0xff}, 16)
	seen, notifications := map[string]int{}, map[string]int{}
	err := filepath.WalkDir(corpus.Data(), func(path string, d fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || d.IsDir() || ext != ".bgp" && ext != ".bmp" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for at := bytes.Index(b, marker); at >= 0; at = bytes.Index(b, marker) {
			msg, rest := firstMessage(b[at:])
			b = rest
			switch bgp.MessageType(msg) {
			case bgp.MessageOpen:
				o, err := bgp.ParseOpen(msg)
				var merr *bgp.MessageError
				if errors.As(err, &merr) && merr.Structural() && !strings.Contains(path, "the-tcpdump-group") {
					t.Errorf("%s: %v: %s %x", filepath.Base(path), err, openText(&o), msg)
				}
				seen[string(bgp.AppendCapabilities(nil, &o))]++
			case bgp.MessageNotification:
				n, err := bgp.ParseNotification(msg)
				if err != nil {
					t.Errorf("%s: %v %x", filepath.Base(path), err, msg)
				}
				notifications[string(n.AppendText(nil))]++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 {
		t.Error("no OPEN in the corpus")
	}
	for text, n := range seen {
		t.Logf("%d × %s", n, text)
	}
	for text, n := range notifications {
		t.Logf("%d × %s", n, text)
	}
}
