//go:build integration

package rpki

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stayrtr runs a real cache of a version with a file of VRPs, which set replaces.
func stayrtr(t *testing.T, version int) (addr string, set func(vrps ...VRP)) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	_ = ln.Close()
	file := filepath.Join(t.TempDir(), "vrps.json")
	write := func(vrps []VRP) {
		type roa struct {
			Prefix    string `json:"prefix"`
			MaxLength uint8  `json:"maxLength"`
			ASN       string `json:"asn"`
			Expires   int64  `json:"expires"`
		}
		now := time.Now().Unix()
		doc := map[string]any{"metadata": map[string]any{"generated": now, "valid": now + 3600, "counts": len(vrps)}}
		list := []roa{}
		for _, v := range vrps {
			list = append(list, roa{v.Prefix.String(), v.MaxLength, fmt.Sprintf("AS%d", v.ASN), now + 3600})
		}
		doc["roas"] = list
		if version == 2 {
			list := []any{map[string]any{"customer_asid": 64496, "expires": now + 3600, "providers": []int{64497, 64498}}}
			doc["provider_authorizations"] = map[string]any{"ipv4": list, "ipv6": []any{}}
		}
		b, err := json.Marshal(doc)
		if err == nil {
			err = os.WriteFile(file, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write([]VRP{vrp("10.0.0.0/8", 24, 64496), vrp("2001:db8::/32", 48, 64497)})
	cmd := exec.Command("stayrtr", "-bind", addr, "-cache", file, "-metrics.addr", "", "-protocol", fmt.Sprint(version), "-refresh", "1",
		"-rtr.refresh", "1", "-rtr.retry", "1", "-slurm.refresh=false")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("stayrtr: %.3000s", &log)
		}
	})
	return addr, func(vrps ...VRP) {
		write(vrps)
		_ = cmd.Process.Signal(syscall.SIGHUP)
	}
}

// StayRTR of every version is understood: its table, and its changes.
func TestStayRTR(t *testing.T) {
	for version := range 3 {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			addr, set := stayrtr(t, version)
			c := start(t, Config{Caches: []string{addr}})
			await := func(what string, ok func() bool) {
				t.Helper()
				for range 600 {
					if ok() {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
				t.Fatalf("%s: %+v", what, c.States())
			}
			await("the table", func() bool { n, _ := c.table.Len(); return n == 2 })
			if st := c.States()[0]; int(st.Version) != version || (st.ASPAs == 1) != (version == 2) {
				t.Errorf("%+v", st)
			}
			ten := netip.MustParsePrefix("10.1.0.0/16")
			if v := c.table.Validate(ten, 64496); v != Valid {
				t.Errorf("%v", v)
			}
			set(vrp("10.0.0.0/8", 24, 64499), vrp("2001:db8::/32", 48, 64497), vrp("192.0.2.0/24", 24, 64496))
			await("the change", func() bool { n, _ := c.table.Len(); return n == 3 })
			if v := c.table.Validate(ten, 64496); v != Invalid {
				t.Errorf("after the change: %v", v)
			}
		})
	}
}
