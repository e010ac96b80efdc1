package main

import (
	"encoding/csv"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// demoData imports both demo recordings and returns the data directory.
func demoData(t *testing.T) string {
	t.Helper()
	data := filepath.Join(isolated(t), "data")
	for i, rec := range demoRecordings(time.Now()) {
		ribtapIn(t, rec, "import", "-", "--router", []string{"edge1", "edge2"}[i], "--data-dir", data).must(t, exitOK)
	}
	t.Setenv("RIBTAP_DATA_DIR", data)
	return data
}

func rows(t *testing.T, args ...string) []map[string]any {
	t.Helper()
	out := ribtap(t, append(args, "-o", "json")...).must(t, exitOK).stdout
	var got []map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got
}

// TestQueries asks the questions of CONTRACT's table of a known history.
func TestQueries(t *testing.T) {
	demoData(t)
	for _, c := range []struct {
		args string
		want int
	}{
		{"routes 203.0.113.0/24", 6}, // one peer came back without it
		{"routes 203.0.113.9 --rib adj-rib-in-pre", 3},
		{"routes 203.0.113.9 --match exact", 0},
		{"routes 198.18.0.0/15 --match longer --router edge1 --peer 192.0.2.11 --rib adj-rib-in-pre", demoPrefixes},
		{"routes 198.18.5.128/25 --match shorter --router edge1 --rib adj-rib-in-pre", 2},
		{"routes 203.0.113.0/24 --asn 64520 --rib adj-rib-in-post", 2},
		{"routes --router edge1 --family ipv6-unicast --rib adj-rib-in-post --asn 64511", demoPrefixes},
		{"routes 203.0.113.0/24 --community 64500:1000", 3},
		{"routes 203.0.113.0/24 --community 64500:9", 0},
		{"routes 203.0.113.0/24 --origin-as 64496 --as-path ^64511_ ", 2},
		{"routes --limit 3", 3},
		{"routes 203.0.113.0/24 --at -10y", -1},
		{"history 198.51.100.0/24 --router edge1 --rib adj-rib-in-pre", 9},
		{"history 198.51.100.0/24 --router edge1 --rib adj-rib-in-pre --newest --limit 2", 2},
		{"history 198.51.100.0/24 --to 2001-01-01", 0},
		{"peers", 4},
		{"peers --router edge2", 2},
		{"peers --history --router edge2", 4},
		{"routers", 2},
		{"stats --router edge1 --peer 192.0.2.11", 3},
		{"imports", 2},
	} {
		args := strings.Fields(c.args)
		if c.want < 0 {
			ribtap(t, args...).must(t, exitUsage)
			continue
		}
		if got := rows(t, args...); len(got) != c.want {
			t.Errorf("%s: %d rows, want %d", c.args, len(got), c.want)
		}
	}
}

// TestRouteColumns: json and csv have the columns of the SQL views.
func TestRouteColumns(t *testing.T) {
	demoData(t)
	want := "sequence position received_at observed_at collector router router_address peer_address peer_asn peer_bgp_id peer_distinguisher rib family prefix path_id rd labels"
	attributes := "origin as_path origin_as next_hop med local_pref communities large_communities ext_communities aggregator atomic_aggregate otc flags rpki"
	for command, own := range map[string]string{"routes": "since changed", "history": "action cause changed"} {
		out := ribtap(t, command, "203.0.113.0/24", "-o", "csv").must(t, exitOK).stdout
		lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(lines) < 2 {
			t.Fatalf("%v: %s", err, out)
		}
		if got := strings.Join(lines[0], " "); got != want+" "+own+" "+attributes {
			t.Errorf("%s columns: %s", command, got)
		}
		row := rows(t, command, "203.0.113.0/24")[0]
		for _, name := range lines[0] {
			if _, ok := row[name]; !ok {
				t.Errorf("%s -o json lacks %s", command, name)
			}
		}
	}
}

// TestDiff ends as diff(1) does.
func TestDiff(t *testing.T) {
	demoData(t)
	for _, c := range []struct {
		args string
		code int
		rows int
		says string
	}{
		{"diff 203.0.113.0/24 --at now --to-at now", exitOK, 0, ""},
		{"diff 203.0.113.0/24 --at 2001-01-01", exitFailure, 6, `"change":"added"`},
		{"diff 203.0.113.0/24 --at now --to-at 2001-01-01", exitFailure, 6, `"change":"removed"`},
		{"diff 203.0.113.0/24 --rib adj-rib-in-pre --to-rib adj-rib-in-post --router edge1 --asn 64511", exitFailure, 1, `"differs":["local_pref","communities"]`},
		{"diff 203.0.113.0/24 --peer 192.0.2.11 --to-peer 192.0.2.21 --rib adj-rib-in-pre", exitFailure, 1, `"differs":["as_path","next_hop","med"]`},
		{"diff 203.0.113.0/24 --router edge1 --to-router edge2 --rib adj-rib-in-pre --asn 64520", exitFailure, 2, `"change":"removed"`},
		{"diff --at yesterday", exitUsage, 0, ""},
		{"diff", exitUsage, 0, ""},
		{"diff --to-rib loc-rib", exitUsage, 0, ""},
	} {
		r := ribtap(t, append(strings.Fields(c.args), "-o", "ndjson")...).must(t, c.code)
		if strings.Count(r.stdout, "\n") != c.rows || !strings.Contains(r.stdout, c.says) {
			t.Errorf("%s:\n%s%s", c.args, r.stdout, r.stderr)
		}
	}
}

// TestNoHistory: a question to nothing is an error, not an empty answer.
func TestNoHistory(t *testing.T) {
	dir := isolated(t)
	for _, command := range []string{"routes", "history", "peers", "routers", "stats", "gaps", "anomalies", "imports", "stream verify", "stream inspect"} {
		r := ribtap(t, append(strings.Fields(command), "--data-dir", filepath.Join(dir, "none"))...).must(t, exitFailure)
		if r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "none") {
			t.Errorf("%s: %s", command, r.stderr)
		}
	}
}
