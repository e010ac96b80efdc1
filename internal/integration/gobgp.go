//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// GoBGP is a gobgpd that exports BMP: before and after its inbound policy, and
// its Loc-RIB.
type GoBGP struct {
	l    *Lab
	name string
	gen  generation
	port int
	api  int
	deny string
	proc *Proc
}

const gobgpAddress = "127.0.14.1"

// StartGoBGP starts it with a station to dial. Its policy denies one prefix and
// adds community 65011:1 to the others.
func (l *Lab) StartGoBGP(name string, gen generation, stationPort int, deny string) *GoBGP {
	l.t.Helper()
	g := &GoBGP{l: l, name: name, gen: gen, deny: deny, port: l.freePort(gobgpAddress, "::1"), api: l.freePort(gobgpAddress)}
	var b strings.Builder
	fmt.Fprintf(&b, `[global.config]
  as = %d
  router-id = "10.0.0.14"
  port = %d
  local-address-list = [%q, "::1"]
[global.apply-policy.config]
  import-policy-list = ["in"]
  default-import-policy = "accept-route"
[[bmp-servers]]
  [bmp-servers.config]
    address = "127.0.0.1"
    port = %d
    route-monitoring-policy = "all"
    statistics-timeout = 15
    sys-name = "gobgp-lab"
    sys-descr = "GoBGP"
[[defined-sets.prefix-sets]]
  prefix-set-name = "denied"
  [[defined-sets.prefix-sets.prefix-list]]
    ip-prefix = %q
[[policy-definitions]]
  name = "in"
  [[policy-definitions.statements]]
    name = "deny"
    [policy-definitions.statements.conditions.match-prefix-set]
      prefix-set = "denied"
      match-set-options = "any"
    [policy-definitions.statements.actions]
      route-disposition = "reject-route"
  [[policy-definitions.statements]]
    name = "mark"
    [policy-definitions.statements.actions]
      route-disposition = "accept-route"
      [policy-definitions.statements.actions.bgp-actions.set-community]
        options = "add"
        [policy-definitions.statements.actions.bgp-actions.set-community.set-community-method]
          communities-list = [%q]
`, routerAS, g.port, gobgpAddress, stationPort, deny, policyCommunity)
	for _, n := range []neighbor{neighbor4, neighbor6} {
		local := gobgpAddress
		if n.v6 {
			local = "::1"
		}
		fmt.Fprintf(&b, `[[neighbors]]
  [neighbors.config]
    neighbor-address = %q
    peer-as = %d
  [neighbors.timers.config]
    idle-hold-time-after-reset = 1
  [neighbors.transport.config]
    local-address = %q
    passive-mode = true
  [neighbors.ebgp-multihop.config]
    enabled = true
    multihop-ttl = 2
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "%s-unicast"
`, n.addr, n.as, local, n.family)
	}
	conf := l.write(name+".toml", b.String())
	g.proc = l.start(name, gen.command(l.t, "/usr/bin/gobgpd", "-f", conf, "--api-hosts", fmt.Sprintf("%s:%d", gobgpAddress, g.api), "--pprof-disable")...)
	l.await(name+" to answer gobgp", 15*time.Second, func() error { _, err := g.ctl("global"); return err })
	return g
}

func (g *GoBGP) target() feedTarget {
	return feedTarget{addr4: gobgpAddress, port: g.port, as: routerAS}
}

func (g *GoBGP) ctl(args ...string) ([]byte, error) {
	return output(g.gen.command(g.l.t, append([]string{"/usr/bin/gobgp", "-u", gobgpAddress, "-p", fmt.Sprint(g.api)}, args...)...)...)
}

// gobgpAttr is a path attribute as gobgp writes it in JSON.
type gobgpAttr struct {
	Type        uint8           `json:"type"`
	Value       json.RawMessage `json:"value"`
	Nexthop     string          `json:"nexthop"`
	Metric      uint32          `json:"metric"`
	Communities []uint32        `json:"communities"`
	Paths       []struct {
		ASNs []uint32 `json:"asns"`
	} `json:"as_paths"`
}

// put adds the attribute to a.
func (ga *gobgpAttr) put(a *Attrs) error {
	switch ga.Type {
	case 1: // ORIGIN
		var code int
		if err := json.Unmarshal(ga.Value, &code); err != nil {
			return err
		}
		a.Origin = []string{"IGP", "EGP", "INCOMPLETE"}[code%3]
	case 2: // AS_PATH
		var path []string
		for _, segment := range ga.Paths {
			for _, as := range segment.ASNs {
				path = append(path, fmt.Sprint(as))
			}
		}
		a.ASPath = strings.Join(path, " ")
	case 3, 14: // NEXT_HOP, MP_REACH_NLRI
		a.NextHop = ga.Nexthop
	case 4: // MULTI_EXIT_DISC
		a.MED = fmt.Sprint(ga.Metric)
	case 8: // COMMUNITIES
		var list []string
		for _, c := range ga.Communities {
			list = append(list, fmt.Sprintf("%d:%d", c>>16, c&0xffff))
		}
		a.Communities = sorted(strings.Join(list, " "))
	case 16: // EXTENDED COMMUNITIES, here with route targets alone
		var list []struct{ Value string }
		if err := json.Unmarshal(ga.Value, &list); err != nil {
			return err
		}
		var words []string
		for _, c := range list {
			words = append(words, "rt:"+c.Value)
		}
		a.Ext = sorted(strings.Join(words, " "))
	case 32: // LARGE_COMMUNITY
		var list []struct{ ASN, LocalData1, LocalData2 uint32 }
		if err := json.Unmarshal(ga.Value, &list); err != nil {
			return err
		}
		var words []string
		for _, c := range list {
			words = append(words, fmt.Sprintf("%d:%d:%d", c.ASN, c.LocalData1, c.LocalData2))
		}
		a.Large = sorted(strings.Join(words, " "))
	}
	return nil
}

// table reads what a gobgp command lists; of several paths the best one.
func (g *GoBGP) table(args ...string) (Table, error) {
	out, err := g.ctl(append(args, "-j")...)
	if err != nil {
		return nil, err
	}
	var answer map[string][]struct {
		Attrs []gobgpAttr `json:"attrs"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("gobgp %s: %w: %s", strings.Join(args, " "), err, clip(string(out), 200))
	}
	t := Table{}
	for prefix, paths := range answer {
		if len(paths) == 0 {
			continue
		}
		var a Attrs
		for i := range paths[0].Attrs {
			if err := paths[0].Attrs[i].put(&a); err != nil {
				return nil, fmt.Errorf("gobgp %s: %s: %w", strings.Join(args, " "), prefix, err)
			}
		}
		t[prefix] = a
	}
	return t, nil
}

// Received is what the neighbour sent, before policy.
func (g *GoBGP) Received(n neighbor) (Table, error) {
	t, err := g.table("neighbor", n.addr, "adj-in", "-a", n.family)
	// GoBGP says so when a neighbour is down.
	if err != nil && strings.Contains(err.Error(), "not established") {
		return Table{}, nil
	}
	return t, err
}

// Best is the global table.
func (g *GoBGP) Best(n neighbor) (Table, error) {
	return g.table("global", "rib", "-a", n.family)
}

// AwaitFeed waits until it has received and accepted all of a feed.
func (g *GoBGP) AwaitFeed(feed *Feed) {
	g.l.t.Helper()
	g.l.await(g.name+" to have its routes", 60*time.Second, func() error {
		for _, n := range []neighbor{neighbor4, neighbor6} {
			want := feed.Table(n.v6, n.as)
			received, err1 := g.Received(n)
			best, err2 := g.Best(n)
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			if len(received) != len(want) || len(best) != len(want.without(g.deny)) {
				return fmt.Errorf("%d received, %d used of %d routes from %s", len(received), len(best), len(want), n.addr)
			}
		}
		return nil
	})
}
