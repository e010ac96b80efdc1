//go:build integration

package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// flowWords is a flow specification with every component that all of the daemons
// know, as ribtap writes it, as GoBGP writes it, and as GoBGP's commands take it.
var flowWords = struct{ ribtap, gobgp, command string }{
	"destination 10.1.0.0/24 source 10.2.0.0/24 protocol ==17|==6 port ==80 destination-port >53 " +
		"source-port >=1024&<=65535 icmp-type ==3 icmp-code ==1 packet-length >8000&<=8080 dscp ==46",
	"[destination: 10.1.0.0/24][source: 10.2.0.0/24][protocol: ==udp ==tcp][port: ==80][destination-port: >53]" +
		"[source-port: >=1024&<=65535][icmp-type: ==3][icmp-code: ==1][packet-length: >8000&<=8080][dscp: ==46]",
	"destination 10.1.0.0/24 source 10.2.0.0/24 protocol udp tcp port ==80 destination-port >53 " +
		"source-port >=1024&<=65535 icmp-type ==3 icmp-code ==1 packet-length >8000&<=8080 dscp ==46",
}

// TestSpeakerFlows has every component and action of a flow specification (RFC
// 8955 §4.2.2, §7) come from GoBGP and from BIRD, and go to both.
func TestSpeakerFlows(t *testing.T) {
	t.Parallel()
	l := NewLab(t)
	gobgpP, birdP := l.newPeering("gobgp", 65040, nil), l.newPeering("bird2", 65020, nil)
	gobgpP.flows, birdP.flows = true, true
	rt := l.StartSpeaker("", gobgpP, birdP)
	gobgp := l.StartGoBGPSpeaker(installed, gobgpP)
	bird := &BirdSpeaker{l: l, version: bird2, p: birdP}
	config := strings.Replace(bird.config(), "import all; export none; };", "import all; export all; };", 1)
	l.write(birdP.name+".conf", config+`protocol static flows {
  flow4 { table flow4tab; };
  route flow4 { dst 10.9.0.0/16; proto = 17; dport > 53; } { bgp_ext_community.add((generic, 0x80060000, 0x0)); };
  route flow4 { src 10.8.0.0/16; sport 1024..2047; icmp type 3; length > 8000 && <= 8080; };
}
`)
	bird.Start()
	l.await("the sessions", 40*time.Second, func() error { return rt.established(gobgpP.name, birdP.name) })

	// flows are "FLOW [EXTENDED COMMUNITIES]" of a peer.
	flows := func(p *peering) (words []string, err error) {
		rows, err := rt.Routes("--peer", p.addr, "--family", "ipv4-flowspec")
		for _, r := range rows {
			words = append(words, r.Prefix+" ["+r.ExtCommunities+"]")
		}
		return words, err
	}
	l.Run("from GoBGP", func(*testing.T) {
		command := "global rib add -a ipv4-flowspec match " + flowWords.command + " then rate-limit 9600 redirect 65000:1 mark 46 action sample"
		must(gobgp.ctl(strings.Fields(command)...))(l.t)
		l.await("the flow", 20*time.Second, func() error {
			got, err := flows(gobgpP)
			return errors.Join(err, same("flows", got, []string{
				flowWords.ribtap + " [traffic-rate:0:9600 redirect:65000:1 traffic-marking:46 traffic-action:sample]",
			}))
		})
	})
	l.Run("from BIRD", func(*testing.T) {
		l.await("the flows", 20*time.Second, func() error {
			got, err := flows(birdP)
			return errors.Join(err, same("flows", got, []string{
				"destination 10.9.0.0/16 protocol ==17 destination-port >53 [traffic-rate:0:0]",
				"source 10.8.0.0/16 source-port >=1024&<=2047 icmp-type ==3 packet-length >8000&<=8080 []",
			}))
		})
	})
	l.Run("to both", func(*testing.T) {
		flow := append([]string{"announce", "flow"}, strings.Fields(flowWords.ribtap)...)
		rt.order(append(flow, "--all", "--action", "traffic-rate 9600", "--action", "redirect 65000:1", "--action", "mark 46", "--action", "traffic-action sample")...)
		l.await("GoBGP to have the flow", 20*time.Second, func() error {
			out, err := gobgp.ctl("neighbor", gobgpP.remote(), "adj-in", "-a", "ipv4-flowspec")
			actions := []string{"[rate: 9600.000000]", "[redirect: 65000:1]", "[remark: 46]", "[action: sample]"}
			if text := string(out); err == nil && (strings.Count(text, "[destination:") != 1 || !strings.Contains(text, flowWords.gobgp) || !hasAll(text, actions...)) {
				err = fmt.Errorf("it has %s", text)
			}
			return err
		})
		l.await("BIRD to have the flow", 20*time.Second, func() error {
			out, err := bird.ctl("show", "route", "table", "flow4tab", "protocol", "session", "all")
			const flow = "flow4 { dst 10.1.0.0/24; src 10.2.0.0/24; proto 17,6; port 80; dport > 53; sport 1024..65535; " +
				"icmp type 3; icmp code 1; length > 8000 && <= 8080; dscp 46; }"
			// 9600 as a number of IEEE 754, the route target 65000:1, DSCP 46, the sample bit.
			actions := []string{"(generic, 0x80060000, 0x46160000)", "(generic, 0x8008fde8, 0x1)", "(generic, 0x80090000, 0x2e)", "(generic, 0x80070000, 0x2)"}
			if err == nil && (!strings.Contains(out, flow) || !hasAll(out, actions...)) {
				err = fmt.Errorf("it has %s", out)
			}
			return err
		})
	})
	l.Run("withdrawn", func(*testing.T) {
		rt.order(append(append([]string{"withdraw", "flow"}, strings.Fields(flowWords.ribtap)...), "--all")...)
		l.await("neither to have it", 20*time.Second, func() error {
			theirs, err := gobgp.ctl("neighbor", gobgpP.remote(), "adj-in", "-a", "ipv4-flowspec")
			ours, err2 := bird.ctl("show", "route", "table", "flow4tab")
			if err = errors.Join(err, err2); err == nil && (strings.Contains(string(theirs), "10.1.0.0") || strings.Contains(ours, "10.1.0.0")) {
				err = fmt.Errorf("GoBGP has %s, BIRD has %s", theirs, ours)
			}
			return err
		})
	})
	rt.Stop()
	l.Run("octets", func(t *testing.T) {
		// BIRD's first flow as it was on the wire.
		want := must(hex.DecodeString("0a01100a09038111058235"))(t)
		updates, _ := archive(t, rt, "lab")
		for _, path := range updates {
			if bytes.Contains(must(unzipped(path))(t), want) {
				return
			}
		}
		t.Errorf("% x is in none of %v", want, updates)
	})
}

// hasAll reports whether text has each of the words.
func hasAll(text string, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// unzipped is what a file of the archive has inside.
func unzipped(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
