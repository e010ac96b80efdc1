package main

import (
	"encoding"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"github.com/ribtap/ribtap/history"
	"github.com/ribtap/ribtap/sinks/mrtdump"
	"github.com/ribtap/ribtap/sinks/sqlite"
	"github.com/ribtap/ribtap/stream"
)

// checkYAML walks a config file against the tree of keys. It reports unknown
// and repeated keys by line, with the nearest valid one, and returns the line
// of each key that is set.
func checkYAML(file string, text []byte, problems *configError) map[string]int {
	lines := map[string]int{}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		problems.add("config file %s is not YAML: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
		return lines
	}
	if len(doc.Content) == 0 {
		return lines
	}
	c := yamlCheck{file: file, lines: lines, problems: problems}
	c.mapping(doc.Content[0], reflect.TypeFor[Config](), "")
	return lines
}

type yamlCheck struct {
	file     string
	lines    map[string]int
	problems *configError
}

// mapping checks the keys of one YAML mapping against the fields of t.
func (c *yamlCheck) mapping(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // a section whose keys are all commented out
	}
	if n.Kind != yaml.MappingNode {
		where := strings.TrimSuffix(path, ".")
		if where == "" {
			where = "the file"
		}
		c.problems.add("%s:%d: %s must be a mapping of keys, not %s", c.file, n.Line, where, nodeWord(n))
		return
	}
	fields := map[string]reflect.Type{}
	var names []string
	for f := range t.Fields() {
		name := f.Tag.Get("mapstructure")
		fields[name] = f.Type
		names = append(names, name)
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		ft, ok := fields[key.Value]
		if !ok {
			if near := c.suggest(path, key.Value, names); near == key.Value {
				c.problems.add("%s:%d: key %q must be nested: %s:, and below it %s:", c.file, key.Line, near, near[:strings.LastIndexByte(near, '.')], near[strings.LastIndexByte(near, '.')+1:])
			} else {
				c.problems.add("%s:%d: unknown key %q; nearest is %q", c.file, key.Line, path+key.Value, near)
			}
			continue
		}
		if line, dup := seen[key.Value]; dup {
			c.problems.add("%s:%d: key %q stands in line %d already", c.file, key.Line, path+key.Value, line)
			continue
		}
		seen[key.Value] = key.Line
		switch {
		case ft.Kind() == reflect.Struct && !reflect.PointerTo(ft).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
			c.mapping(value, ft, path+key.Value+".")
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct:
			c.lines[path+key.Value] = key.Line
			c.list(value, ft.Elem(), path+key.Value)
		default:
			c.lines[path+key.Value] = key.Line
		}
	}
}

// list checks a list of mappings.
func (c *yamlCheck) list(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.SequenceNode {
		of := "each entry with its name: and address:"
		if _, ok := t.FieldByName("Name"); !ok {
			of = "each entry a mapping"
		}
		c.problems.add("%s:%d: %s must be a list, %s, not %s", c.file, n.Line, path, of, nodeWord(n))
		return
	}
	for i, item := range n.Content {
		c.mapping(item, t, path+"["+strconv.Itoa(i)+"].")
	}
}

// suggest names the nearest key: one of the same section if one is near, else
// the nearest of all, for a key that stands in the wrong section.
func (c *yamlCheck) suggest(path, name string, siblings []string) string {
	best := nearest(name, siblings)
	if distance(name, best) <= max(2, len(name)/3) {
		return path + best
	}
	keys, sections := configKeys()
	var all []string
	for _, k := range keys {
		all = append(all, k.path)
	}
	for _, s := range sections {
		all = append(all, s.path)
	}
	for _, k := range all {
		if k == name || strings.HasSuffix(k, "."+name) {
			return k
		}
	}
	if path == "" {
		return nearest(name, all)
	}
	return path + best
}

func nodeWord(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a mapping"
	case yaml.ScalarNode, yaml.AliasNode, yaml.DocumentNode:
	}
	return strconv.Quote(n.Value)
}

// nearest returns the candidate with the smallest edit distance, the first of
// equals.
func nearest(s string, candidates []string) string {
	best, bestD := "", 1<<30
	for _, c := range candidates {
		d := distance(s, c)
		if s != "" && strings.Contains(c, s) {
			d = 0 // a part of the name is nearer than another name
		}
		if d < bestD {
			best, bestD = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

var collectorName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// check looks at values: ranges, addresses, files that must be readable, and
// parts that this version does not have.
func (s *settings) check(keys []configKey, def *Config, problems *configError) {
	bad := func(key, format string, args ...any) {
		problems.add("%s (%s): %s", key, s.origins[key], fmt.Sprintf(format, args...))
	}
	for _, k := range keys {
		if k.later && !reflect.DeepEqual(k.value(&s.Config).Interface(), k.value(def).Interface()) {
			bad(k.path, "not available in this version; remove the key")
		}
	}
	oneOf := func(key, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			bad(key, "%q is not one of %s", value, strings.Join(allowed, ", "))
		}
	}
	oneOf("stream.on_full", s.Stream.OnFull, stream.OnFullBlock, stream.OnFullDrop)
	oneOf("sinks.sqlite.rows", s.Sinks.SQLite.Rows, sqlite.RowsChanges, sqlite.RowsAll)
	oneOf("sinks.postgres.rows", s.Sinks.Postgres.Rows, history.RowsChanges, history.RowsAll)
	oneOf("sinks.postgres.from", s.Sinks.Postgres.From, fromOldest, fromNow)
	oneOf("sinks.kafka.from", s.Sinks.Kafka.From, fromOldest, fromNow)
	oneOf("sinks.mrt.layout", s.Sinks.MRT.Layout, mrtdump.LayoutRIS, mrtdump.LayoutRouteViews)
	oneOf("sinks.mrt.compression", s.Sinks.MRT.Compression, mrtdump.CompressionGzip, mrtdump.CompressionZstd, mrtdump.CompressionNone)
	oneOf("log.level", s.Log.Level, "debug", "info", "warn", "error")
	oneOf("log.format", s.Log.Format, "text", "json")
	if s.DataDir == "" {
		bad("data_dir", "is empty; name a directory")
	}
	if !collectorName.MatchString(s.Collector.Name) {
		bad("collector.name", "%q must be 1 to 63 letters, digits, dots, dashes and underscores, because files and topics are named after it", s.Collector.Name)
	}
	s.checkBMP(bad)
	s.checkBGP(bad)
	s.checkHTTP(bad)
	s.checkRPKI(bad)
	if s.Sinks.Postgres.DSN != "" {
		cfg := s.postgresConfig()
		if err := cfg.Validate(); err != nil {
			bad("sinks.postgres.dsn", "%s", strings.TrimPrefix(err.Error(), "postgres: "))
		}
	}
	if len(s.Sinks.Kafka.Brokers) > 0 {
		cfg := s.kafkaConfig()
		if err := cfg.Validate(); err != nil {
			for line := range strings.Lines(err.Error()) { // one a setting
				bad("sinks.kafka.brokers", "%s", strings.TrimPrefix(strings.TrimSpace(line), "kafka: "))
			}
		}
	}
	if d := s.Stream.SyncInterval.Std(); d != 0 && d < time.Millisecond || d > time.Minute {
		bad("stream.sync_interval", "%v is neither 0, for every write, nor between 1ms and 1m", d)
	}
	interval := func(key string, d time.Duration) {
		if d < time.Minute || d%time.Minute != 0 || 24*time.Hour%d != 0 {
			bad(key, "%v is not a number of whole minutes that divides a day", d)
		}
	}
	interval("sinks.mrt.updates_interval", s.Sinks.MRT.UpdatesInterval.Std())
	interval("sinks.mrt.rib_interval", s.Sinks.MRT.RIBInterval.Std())
	if s.Stream.MaxSize < 1<<20 {
		bad("stream.max_size", "%d octets are less than 1MiB", int64(s.Stream.MaxSize))
	}
}

func (s *settings) checkBMP(bad func(key, format string, args ...any)) {
	open := false
	for _, a := range s.BMP.Listen {
		host, err := splitListen(a)
		if err != nil {
			bad("bmp.listen", "%v", err)
			continue
		}
		open = open || !isLoopback(host)
	}
	outside := false
	for _, a := range s.BMP.Allow {
		p, err := parsePrefix(a)
		if err != nil {
			bad("bmp.allow", "%q is neither a prefix nor an address", a)
			continue
		}
		outside = outside || !p.Addr().IsLoopback()
	}
	if open && !outside {
		s.warnings = append(s.warnings, "bmp.listen is open to the network, but bmp.allow admits loopback alone: add your routers' prefixes to bmp.allow")
	}
	tls := s.BMP.TLS
	if (tls.Cert == "") != (tls.Key == "") {
		bad("bmp.tls.cert", "bmp.tls.cert and bmp.tls.key go together; one of them is empty")
	}
	if tls.Cert == "" && tls.ClientCA != "" {
		bad("bmp.tls.client_ca", "needs bmp.tls.cert and bmp.tls.key")
	}
	for _, f := range []struct{ key, path string }{{"bmp.tls.cert", tls.Cert}, {"bmp.tls.key", tls.Key}, {"bmp.tls.client_ca", tls.ClientCA}} {
		if _, err := os.Stat(f.path); f.path != "" && err != nil {
			bad(f.key, "%s cannot be read: %v", f.path, errors.Unwrap(err))
		}
	}
	names, addresses := map[string]bool{}, map[netip.Addr]string{}
	for i, r := range s.BMP.Routers {
		where := fmt.Sprintf("entry %d (%s)", i+1, r.Name)
		a, err := r.addrPort()
		switch {
		case r.Name == "":
			bad("bmp.routers", "entry %d has no name", i+1)
		case names[r.Name]:
			bad("bmp.routers", "%s: the name is taken by an earlier entry", where)
		case err != nil:
			bad("bmp.routers", "%s: %v", where, err)
		case len(r.Labels) > 0:
			bad("bmp.routers", "%s: labels are not available in this version; remove them", where)
		case addresses[a.Addr()] != "":
			bad("bmp.routers", "%s: address %s is that of %s already", where, a.Addr(), addresses[a.Addr()])
		}
		names[r.Name], addresses[a.Addr()] = true, r.Name
	}
	if s.BMP.MaxMessage < 8<<10 || s.BMP.MaxMessage > 64<<20 {
		bad("bmp.max_message", "%d octets are not between 8KiB and 64MiB", int64(s.BMP.MaxMessage))
	}
	if s.BMP.MaxSessions < 1 {
		bad("bmp.max_sessions", "%d is less than 1", s.BMP.MaxSessions)
	}
	if s.BMP.Keepalive < Duration(time.Second) {
		bad("bmp.keepalive", "must be 1s at least")
	}
	if s.BMP.SweepQuiet <= 0 || s.BMP.SweepCap < s.BMP.SweepQuiet {
		bad("bmp.sweep_quiet", "must be positive and not above bmp.sweep_cap")
	}
}

func (s *settings) checkRPKI(bad func(key, format string, args ...any)) {
	for i, cache := range s.RPKI.RTR {
		if host, port, err := net.SplitHostPort(cache); err != nil || host == "" || port == "" {
			bad(fmt.Sprintf("rpki.rtr[%d]", i), "%q is not host:port", cache)
		}
	}
}

// checkHTTP also reads the token, so that what was checked is what is used.
func (s *settings) checkHTTP(bad func(key, format string, args ...any)) {
	if s.HTTP.TokenFile != "" {
		tokens, err := readTokens(s.HTTP.TokenFile)
		if err != nil {
			bad("http.token_file", "%v", err)
			return
		}
		s.tokens = tokens
	}
	if s.HTTP.Listen == "" {
		return
	}
	host, err := splitListen(s.HTTP.Listen)
	if err != nil {
		bad("http.listen", "%v", err)
		return
	}
	if !isLoopback(host) && s.HTTP.TokenFile == "" {
		bad("http.listen", "%s is not on loopback, so http.token_file must name a file with a token", s.HTTP.Listen)
	}
}

// splitListen checks host:port and returns the host.
func splitListen(s string) (host string, err error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("%q: port %q is not a number from 0 to 65535", s, port)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return "", fmt.Errorf("%q: %q is not an IP address", s, host)
	}
	return host, nil
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// parsePrefix reads a prefix, or an address as a prefix of its whole length.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	return p.Masked(), nil
}

// addrPort reads the router's address; its port is 0 unless it is to be dialled.
func (r RouterConfig) addrPort() (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(r.Address); err == nil {
		if r.Dial {
			return netip.AddrPort{}, fmt.Errorf("dial needs a port in address, for example %s", netip.AddrPortFrom(a, 11019))
		}
		return netip.AddrPortFrom(a, 0), nil
	}
	ap, err := netip.ParseAddrPort(r.Address)
	if err != nil || ap.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("address %q is not an IP address", r.Address)
	}
	if !r.Dial {
		return netip.AddrPort{}, fmt.Errorf("address %q has a port, which only dial: true makes use of", r.Address)
	}
	return ap, nil
}
