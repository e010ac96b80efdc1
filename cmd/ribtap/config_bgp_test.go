package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/bgp"
	"github.com/ribtap/ribtap/speaker"
)

// entryDefaults is an entry of a list with every default of its tags, as a YAML
// mapping.
func entryDefaults(t reflect.Type) string {
	var parts []string
	for f := range t.Fields() {
		if d := f.Tag.Get("default"); d != "" && d != "none" {
			parts = append(parts, f.Tag.Get("mapstructure")+": "+d)
		}
	}
	return strings.Join(parts, ", ")
}

// TestPeerDefaults: the defaults that are documented are those that hold.
func TestPeerDefaults(t *testing.T) {
	load := func(entry string) speaker.Peer {
		t.Helper()
		isolate(t)
		s, err := parseConfig("in.yaml", []byte("bgp: {peers: [{name: a, address: 192.0.2.1, "+entry+"}]}"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.bgp.speaker.Peers[0]
	}
	said := load(entryDefaults(reflect.TypeFor[PeerConfig]()))
	silent := load("")
	opts := cmp.Options{cmp.AllowUnexported(speaker.ASNs{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}
	if diff := cmp.Diff(silent, said, opts); diff != "" {
		t.Errorf("documented defaults differ (-hold +documented):\n%s", diff)
	}
	want := speaker.DefaultPeer()
	want.Name, want.Address = "a", netip.MustParsePrefix("192.0.2.1/32")
	if diff := cmp.Diff(want, silent, opts); diff != "" {
		t.Errorf("the speaker's defaults differ (-speaker +configuration):\n%s", diff)
	}
}

// TestSpeakerDefaults: so do those of the section.
func TestSpeakerDefaults(t *testing.T) {
	isolate(t)
	s, err := parseConfig("", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := speaker.DefaultConfig()
	got := s.bgp.speaker
	if got.MaxSessions != want.MaxSessions || got.AcceptRate != want.AcceptRate || got.AcceptRateUnknown != want.AcceptRateUnknown ||
		got.InitialDelay != want.InitialDelay || got.RefuseUnknown != want.RefuseUnknown || len(got.Peers) != 0 || len(s.bgp.announce) != 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestPeerConfigReachesSpeaker: every key of a peer changes something in what the
// speaker gets.
func TestPeerConfigReachesSpeaker(t *testing.T) {
	isolate(t)
	t.Chdir("../../fixtures/config/bgp")
	s, err := loadConfig("in.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	frr, many, link := &s.bgp.speaker.Peers[0], &s.bgp.speaker.Peers[1], &s.bgp.speaker.Peers[2]
	if frr.Password != "sesame" || frr.TTLMin != 255 || frr.RemoteASN.String() != "65001" || len(frr.Families) != 3 ||
		!reflect.DeepEqual(frr.MaxPrefixes, []speaker.PrefixLimit{{Family: bgp.IPv4Unicast, Max: 1_000_000}, {Family: bgp.IPv6Unicast, Max: 300_000, Action: speaker.LimitTerminate}}) {
		t.Errorf("frr1: %+v", frr)
	}
	if !many.Range() || many.Limit != 10 || !many.Mirror || !many.Disabled || many.RemoteASN.String() != "65001,65002" {
		t.Errorf("many: %+v", many)
	}
	if link.Zone != "eth0" || link.Address != netip.MustParsePrefix("fe80::1/128") || !link.Active || link.Port != 1179 || link.HoldTime != 0 ||
		link.AddPath || link.ExtendedMessages || link.ExtendedNextHop || link.EnhancedRefresh || link.GracefulRestart || link.LLGR ||
		*link.Role != bgp.RoleRSClient || !link.RoleStrict || link.Password != "hunter2" || link.TTLMin != 254 || !link.Drain ||
		link.LocalASN != 65010 || link.RouterID != netip.MustParseAddr("192.0.2.8") {
		t.Errorf("link: %+v", link)
	}
	a := s.bgp.announce[0]
	if a.Origin != 2 || *a.MED != 10 || *a.LocalPref != 50 || len(a.ASPath) != 2 || len(a.Communities) != 2 || len(a.LargeCommunities) != 1 || len(a.ExtendedCommunities) != 1 {
		t.Errorf("announcement: %+v", a)
	}
	if b := s.bgp.announce[1].Beacon; b == nil || b.Offset.String() != "10m0s" {
		t.Errorf("beacon: %+v", b)
	}
	if f := s.bgp.announce[2]; f.Family != bgp.IPv4Flowspec || len(f.ExtendedCommunities) != 2 {
		t.Errorf("flow: %+v", f)
	}
	var got []string
	for _, a := range s.bgp.export(link, nil) {
		got = append(got, a.String())
	}
	if want := []string{"2001:db8:1::/48", "203.0.113.1/32", "destination 10.9.0.0/16 protocol ==17"}; !reflect.DeepEqual(got, want) {
		t.Errorf("link gets %q, want %q", got, want)
	}
}

// TestSecretsNotShown: no key is in anything that is printed.
func TestSecretsNotShown(t *testing.T) {
	isolate(t)
	t.Chdir("../../fixtures/config/bgp")
	for _, args := range [][]string{{"config", "show"}, {"config", "show", "--origin"}, {"config", "show", "-o", "json"}, {"config", "show", "-o", "csv"}, {"config", "check"}} {
		r := ribtap(t, append(args, "--config", "in.yaml")...).must(t, exitOK)
		for _, key := range []string{"hunter2", "sesame"} {
			if strings.Contains(r.stdout+r.stderr, key) {
				t.Errorf("%v shows %s:\n%s", args, key, r.stdout)
			}
		}
		if args[1] == "show" && !strings.Contains(r.stdout, masked) {
			t.Errorf("%v does not say that there is a key:\n%s", args, r.stdout)
		}
	}
	s, err := loadConfig("in.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	p := s.BGP.Peers[2]
	log.Info("a peer", "password", p.Password, "peer", p)
	fmt.Fprintf(&text, "%v %+v %#v %s", p, p, p.Password, p.Password)
	b, err := json.Marshal(s.BGP)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String()+string(b), "hunter2") {
		t.Errorf("shown: %s%s", text.String(), b)
	}
}

// TestLockedKey: who may not read a key can ask the history all the same, and
// cannot run a speaker.
func TestLockedKey(t *testing.T) {
	isolate(t)
	key := writeFile(t, t.TempDir(), "key", []byte("sesame"))
	if err := os.Chmod(key, 0); err != nil {
		t.Fatal(err)
	}
	var s *settings
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // for good: the thread ends with the goroutine
			if err = syscall.Setfsuid(65534); err != nil {
				return
			}
		}
		s, err = parseConfig("in.yaml", []byte("bgp: {peers: [{name: a, address: 192.0.2.1, password_file: "+key+"}]}"), nil)
	}()
	if <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.speaks(); err == nil || !strings.Contains(err.Error(), "entry 1 (a): password_file: "+key+" cannot be read: permission denied") {
		t.Errorf("error: %v", err)
	}
}

// TestExportLists: accept wins, then reject, and the rest passes.
func TestExportLists(t *testing.T) {
	p := func(text ...string) (list []netip.Prefix) {
		for _, s := range text {
			list = append(list, netip.MustParsePrefix(s))
		}
		return list
	}
	l := exportLists{accept: p("10.1.0.0/16"), reject: p("10.0.0.0/8", "2001:db8::/32")}
	for text, want := range map[string]bool{
		"10.1.2.0/24": true, "10.1.0.0/16": true, "10.0.0.0/15": false, "10.2.0.0/16": false, "10.0.0.0/8": false,
		"0.0.0.0/0": true, "192.0.2.0/24": true, "2001:db8:1::/48": false, "2001:db9::/32": true,
	} {
		if got := l.pass(netip.MustParsePrefix(text)); got != want {
			t.Errorf("%s passes: %v", text, got)
		}
	}
	if !l.pass(netip.Prefix{}) {
		t.Error("a flow does not pass")
	}
}

// TestConfigEntriesDocumented: docs/config.md has a row for every key of a peer and
// of an announcement.
func TestConfigEntriesDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	keys, _ := configKeys()
	for _, k := range keys {
		for _, e := range k.entries() {
			row := "| `" + k.path + "[]." + e.name + "` | `" + e.def + "` | " + e.doc + " |\n"
			if !strings.Contains(string(doc), row) {
				t.Errorf("docs/config.md lacks this row:\n%s", row)
			}
		}
	}
}
