//go:build integration

package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/fixtures"
	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
)

// kcatRecord is a record as kcat prints it.
type kcatRecord struct{ key, value []byte }

// kcat reads what a topic has with the program of that name, which is librdkafka:
// nothing of ours, nor of the library that the sink is built on. It also checks
// the sums of the batches.
func kcat(t *testing.T, addr, topic string) []kcatRecord {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// %R is the length of the value in four octets.
	cmd := exec.CommandContext(ctx, "kcat", "-C", "-e", "-q", "-u", "-b", addr, "-t", topic, "-o", "beginning",
		"-X", "check.crcs=true", "-f", "%k\n%R%s")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kcat (scripts/install-test-deps.sh installs it): %v: %s", err, stderr.Bytes())
	}
	var records []kcatRecord
	for r := bytes.NewBuffer(out); ; {
		key, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(key) == 0 {
			return records
		}
		if err != nil {
			t.Fatalf("kcat: record %d: %v", len(records), err)
		}
		size := int(binary.BigEndian.Uint32(r.Next(4)))
		value := r.Next(size)
		if len(value) != size {
			t.Fatalf("kcat: record %d has %d octets of %d", len(records), len(value), size)
		}
		records = append(records, kcatRecord{bytes.TrimSuffix(key, []byte{'\n'}), value})
	}
}

// Recordings of real routers, two of them at IPv6 addresses, go through Apache
// Kafka as OpenBMP frames. Every field of every header is what the format's
// description has, and the BMP messages are the octets that were recorded.
func TestKcatReadsOBMP(t *testing.T) {
	b := kafkatest.Start(t)
	routers := map[string]netip.Addr{
		"frr-8.4": netip.MustParseAddr("192.0.2.84"), "frr-10.3": netip.MustParseAddr("2001:db8::103"),
		"bird-3.1": netip.MustParseAddr("198.51.100.31"), "gobgp-3.36": netip.MustParseAddr("2001:db8:0:336::1"),
	}
	names, err := fixtures.Recordings()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(routers)), names); diff != "" {
		t.Fatalf("recordings (-here +there):\n%s", diff)
	}
	var events []event.Event
	for _, name := range names {
		recording, err := fixtures.Recording(name)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, eventsOf(t, name, recording, routers[name])...)
	}
	for i := range events {
		events[i].Sequence = uint64(i + 1)
	}
	cfg := configFor(t, b.Addr)
	cfg.Format = FormatOBMPRaw
	s := newTestSink(t, cfg)
	if err := s.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if err := s.Idle(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}

	got := map[string][]kcatRecord{}
	total := 0
	for _, r := range kcat(t, b.Addr, cfg.Topic) {
		got[string(r.key)] = append(got[string(r.key)], r)
		total++
	}
	for _, name := range names {
		addr := routers[name]
		records := got[md5sum(addr.String())]
		var octets []byte
		for i, e := range messagesOf(events, name) {
			if i >= len(records) {
				t.Fatalf("%s: %d records", name, len(records))
			}
			bmp := slices.Concat(e.Head, e.Sent, e.PDU, e.Tail)
			want := frameOf(t, cfg.Collector, name, addr, e.Received, len(bmp))
			value := records[i].value
			if len(value) < len(want) || !bytes.Equal(value[:len(want)], want) {
				t.Fatalf("%s: message %d: header\n got %x\nwant %x", name, i, value[:min(len(want), len(value))], want)
			}
			octets = append(octets, value[len(want):]...)
		}
		recording, err := fixtures.Recording(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(octets, recording) {
			t.Fatalf("%s: %d octets of BMP, %d were recorded", name, len(octets), len(recording))
		}
		total -= len(records)
		t.Logf("%s at %s: %d frames, %d octets of BMP", name, addr, len(records), len(octets))
	}
	if total != 0 || len(got) != len(names) {
		t.Fatalf("%d records too many, %d keys", total, len(got))
	}
}

// messagesOf are the events of a router that came as a BMP message.
func messagesOf(events []event.Event, router string) []event.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e event.Event) bool {
		return e.Router == nil || e.Router.Name != router || len(e.Head) == 0 || e.Flags&event.FlagInferred != 0
	})
}

// frameOf makes the header from the description in docs/kafka.md, field by field.
func frameOf(t *testing.T, collector, name string, addr netip.Addr, at event.Time, size int) []byte {
	t.Helper()
	time := at.Std()
	flags, ip := "80", make([]byte, 16)
	if addr.Is6() {
		flags = "c0"
	}
	copy(ip, addr.AsSlice())
	text := "4f424d50" + // magic
		"0107" + // version
		fmt.Sprintf("%04x", 78+len(collector)+len(name)) + // header length
		fmt.Sprintf("%08x", size) + // message length
		flags +
		"0c" + // object type
		fmt.Sprintf("%08x%08x", time.Unix(), time.Nanosecond()/1000) +
		md5sum(collector) + // collector hash
		fmt.Sprintf("%04x%x", len(collector), collector) + // admin id
		md5sum(addr.String()) + // router hash
		fmt.Sprintf("%x", ip) +
		fmt.Sprintf("%04x%x", len(name), name) + // router group
		"00000001" // row count
	var b []byte
	if _, err := fmt.Sscanf(text, "%x", &b); err != nil {
		t.Fatal(err)
	}
	return b
}
