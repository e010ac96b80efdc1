package main

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Config is everything that can be configured. A key is the path of
// mapstructure tags; its doc tag is its line in `config example`. A key with
// the tag later:"true" belongs to a part that is not built yet: it is accepted
// at its default and refused otherwise, so that nothing set is ever ignored.
type Config struct {
	DataDir   string          `mapstructure:"data_dir" doc:"everything that ribtap keeps stands below this directory"`
	Collector CollectorConfig `mapstructure:"collector" doc:"this collector's own identity"`
	BMP       BMPConfig       `mapstructure:"bmp" doc:"the BMP station (RFC 7854)"`
	BGP       BGPConfig       `mapstructure:"bgp" doc:"the BGP speaker (RFC 4271), for routers that cannot do BMP (docs/bgp.md)"`
	Stream    StreamConfig    `mapstructure:"stream" doc:"the durable event stream between the routers and the sinks"`
	Sinks     SinksConfig     `mapstructure:"sinks" doc:"where events go; each sink has a position of its own"`
	HTTP      HTTPConfig      `mapstructure:"http" doc:"API, metrics and health"`
	RPKI      RPKIConfig      `mapstructure:"rpki" doc:"route origin validation of what is there now"`
	Log       LogConfig       `mapstructure:"log" doc:"log lines on standard error"`
}

// CollectorConfig names the collector.
type CollectorConfig struct {
	Name string `mapstructure:"name" doc:"name in every event, row and file"`
}

// BMPConfig configures the station.
type BMPConfig struct {
	Listen      []string       `mapstructure:"listen" doc:"addresses, host:port"`
	Allow       []string       `mapstructure:"allow" doc:"who may connect: prefixes or addresses"`
	TLS         TLSConfig      `mapstructure:"tls" doc:"if cert is set, every session must use TLS"`
	Routers     []RouterConfig `mapstructure:"routers" doc:"optional: {name: rtr1, address: 192.0.2.1}, or {name: rtr2, address: \"192.0.2.2:11019\", dial: true} for a router that waits to be dialled"`
	MaxMessage  ByteSize       `mapstructure:"max_message" doc:"a longer BMP message ends its session"`
	MaxSessions int            `mapstructure:"max_sessions" doc:"sessions at a time"`
	Keepalive   Duration       `mapstructure:"keepalive" doc:"interval of TCP keepalive probes; the path is dead when the third goes unanswered"`
	IdleTimeout Duration       `mapstructure:"idle_timeout" doc:"end a session that says nothing for so long; 0: never, TCP keepalive finds dead ones"`
	SweepQuiet  Duration       `mapstructure:"sweep_quiet" doc:"after End-of-RIB, how long a peer must be quiet before stale routes are withdrawn"`
	SweepCap    Duration       `mapstructure:"sweep_cap" doc:"when they are withdrawn without any End-of-RIB"`
	RestartHold Duration       `mapstructure:"restart_hold" doc:"after a restart of ribtap, how long a router may take to return before its routes are withdrawn"`
}

// TLSConfig names PEM files.
type TLSConfig struct {
	Cert     string `mapstructure:"cert" doc:"certificate chain, PEM file"`
	Key      string `mapstructure:"key" doc:"private key, PEM file"`
	ClientCA string `mapstructure:"client_ca" doc:"if set, routers must show a certificate of this CA"`
}

// RouterConfig is what is known of a router beforehand.
type RouterConfig struct {
	Name    string   `mapstructure:"name" json:"name"`
	Address string   `mapstructure:"address" json:"address"`
	Dial    bool     `mapstructure:"dial" json:"dial,omitempty"`
	Labels  []string `mapstructure:"labels" json:"labels,omitempty" later:"true"`
}

// StreamConfig configures the durable log.
type StreamConfig struct {
	SyncInterval Duration `mapstructure:"sync_interval" doc:"a crash of the machine loses at most this much"`
	MaxSize      ByteSize `mapstructure:"max_size" doc:"cap on the stream's disk space"`
	OnFull       string   `mapstructure:"on_full" doc:"at the cap: block (stop reading from routers) or drop (the oldest, recorded as a gap)"`
}

// SinksConfig configures the destinations.
type SinksConfig struct {
	SQLite   SQLiteConfig   `mapstructure:"sqlite" doc:"embedded SQL history"`
	Postgres PostgresConfig `mapstructure:"postgres" doc:"PostgreSQL history, 15 or later (docs/sql.md)"`
	Kafka    KafkaConfig    `mapstructure:"kafka" doc:"Apache Kafka (docs/kafka.md)"`
	MRT      MRTConfig      `mapstructure:"mrt" doc:"MRT archive (RFC 6396)"`
}

// SQLiteConfig configures the embedded history.
type SQLiteConfig struct {
	Enabled bool   `mapstructure:"enabled" doc:"write it"`
	Path    string `mapstructure:"path" doc:"file; empty: history.db in data_dir"`
	Rows    string `mapstructure:"rows" doc:"changes: routes that changed something; all: every one received"`
}

// PostgresConfig configures the PostgreSQL history.
type PostgresConfig struct {
	DSN       string   `mapstructure:"dsn" doc:"connection string, postgres://USER@HOST/DATABASE; empty: none. What it leaves out comes from PGPASSFILE and the like" secret:"true"`
	Retention Duration `mapstructure:"retention" doc:"drop history older than this, in whole days; 0: keep"`
	Rows      string   `mapstructure:"rows" doc:"changes: routes that changed something; all: every one received"`
	From      string   `mapstructure:"from" doc:"where a new database begins: oldest (what the stream has) or now"`
}

// KafkaConfig configures the Kafka producer.
type KafkaConfig struct {
	Brokers     []string       `mapstructure:"brokers" doc:"host:port of one broker or more; empty: none"`
	Topic       string         `mapstructure:"topic" doc:"topic of the events; gobmp-json has GoBMP's topics instead"`
	TopicPrefix string         `mapstructure:"topic_prefix" doc:"stands, with a dot, before GoBMP's topic names; empty: none"`
	TopicState  string         `mapstructure:"topic_state" doc:"compacted topic of the current routes; empty: none"`
	Format      string         `mapstructure:"format" doc:"json, protobuf, obmp-raw or gobmp-json"`
	Raw         bool           `mapstructure:"raw" doc:"json: add the octets as they arrived, base64"`
	Partitions  int            `mapstructure:"partitions" doc:"of a topic that is missing and therefore made"`
	Replication int            `mapstructure:"replication" doc:"copies of a topic that is made; 0: the broker's default"`
	Retention   Duration       `mapstructure:"retention" doc:"of a topic that is made; 0: the broker's default"`
	Compression string         `mapstructure:"compression" doc:"zstd, gzip or none"`
	TLS         KafkaTLSConfig `mapstructure:"tls" doc:"how to reach the brokers"`
	SASL        SASLConfig     `mapstructure:"sasl" doc:"who to be there"`
	From        string         `mapstructure:"from" doc:"where a new topic begins: oldest (what the stream has) or now"`
}

// KafkaTLSConfig secures the connections to the brokers.
type KafkaTLSConfig struct {
	Enabled    bool   `mapstructure:"enabled" doc:"use TLS"`
	CA         string `mapstructure:"ca" doc:"PEM file of the authorities to trust; empty: the system's"`
	Cert       string `mapstructure:"cert" doc:"client certificate chain, PEM file"`
	Key        string `mapstructure:"key" doc:"its private key, PEM file"`
	ServerName string `mapstructure:"server_name" doc:"name to verify; empty: the broker's address"`
	Insecure   bool   `mapstructure:"insecure" doc:"accept any certificate"`
}

// SASLConfig authenticates to the brokers.
type SASLConfig struct {
	Mechanism    string `mapstructure:"mechanism" doc:"plain, scram-sha-256 or scram-sha-512; empty: none"`
	Username     string `mapstructure:"username" doc:"user"`
	Password     string `mapstructure:"password" doc:"password" secret:"true"`
	PasswordFile string `mapstructure:"password_file" doc:"file with the password instead"`
}

// Values of sinks.NAME.from.
const (
	fromOldest = "oldest"
	fromNow    = "now"
)

// MRTConfig configures the archive.
type MRTConfig struct {
	Enabled         bool     `mapstructure:"enabled" doc:"write it"`
	Dir             string   `mapstructure:"dir" doc:"directory; empty: mrt in data_dir"`
	Layout          string   `mapstructure:"layout" doc:"directories and names as RIPE RIS (ris) or RouteViews (routeviews) has them"`
	UpdatesInterval Duration `mapstructure:"updates_interval" doc:"one file of updates covers this long"`
	RIBInterval     Duration `mapstructure:"rib_interval" doc:"a table dump is written this often"`
	Compression     string   `mapstructure:"compression" doc:"gzip, zstd or none"`
}

// HTTPConfig configures the API.
type HTTPConfig struct {
	Listen    string `mapstructure:"listen" doc:"host:port; empty: none. Not on loopback it needs a token_file"`
	TokenFile string `mapstructure:"token_file" doc:"file of bearer tokens, one a line, that every request but the health checks must carry; read or control in front of one says what it may, sha256:HASH may stand for it"`
}

// RPKIConfig configures origin validation.
type RPKIConfig struct {
	RTR []string `mapstructure:"rtr" doc:"validating caches to ask by RTR (RFC 8210), host:port, the most preferred first; none: no validation"`
}

// LogConfig configures logging.
type LogConfig struct {
	Level  string `mapstructure:"level" doc:"debug, info, warn or error"`
	Format string `mapstructure:"format" doc:"text or json"`
}

// DefaultConfig returns the value of every key that nobody set: local and safe.
func DefaultConfig() Config {
	return Config{
		DataDir:   "./ribtap-data",
		Collector: CollectorConfig{Name: "rt1"},
		BMP: BMPConfig{
			Listen:      []string{"127.0.0.1:11019"},
			Allow:       []string{"127.0.0.0/8", "::1/128"},
			Routers:     []RouterConfig{},
			MaxMessage:  1 << 20,
			MaxSessions: 2000,
			Keepalive:   Duration(20 * time.Second),
			SweepQuiet:  Duration(5 * time.Second),
			SweepCap:    Duration(3 * time.Minute),
			RestartHold: Duration(5 * time.Minute),
		},
		BGP: BGPConfig{
			Listen: []string{"127.0.0.1:1790"}, ASN: 64512, RouterID: "192.0.2.1",
			MaxSessions: 2000, AcceptRate: 20, AcceptRateUnknown: 100, InitialDelay: Duration(5 * time.Second),
			OnResetError: onResetReset, Announce: []AnnounceConfig{}, Peers: []PeerConfig{},
		},
		Stream: StreamConfig{SyncInterval: Duration(100 * time.Millisecond), MaxSize: 64 << 30, OnFull: "block"},
		Sinks: SinksConfig{
			SQLite:   SQLiteConfig{Enabled: true, Rows: "changes"},
			Postgres: PostgresConfig{Rows: "changes", From: fromOldest},
			Kafka: KafkaConfig{
				Brokers: []string{}, Topic: "ribtap.events", Format: "json", Partitions: 6, Retention: Duration(7 * 24 * time.Hour),
				Compression: "zstd", From: fromOldest,
			},
			MRT: MRTConfig{
				Enabled: true, Layout: "ris", UpdatesInterval: Duration(5 * time.Minute),
				RIBInterval: Duration(8 * time.Hour), Compression: "gzip",
			},
		},
		HTTP: HTTPConfig{Listen: "127.0.0.1:8080"},
		RPKI: RPKIConfig{RTR: []string{}},
		Log:  LogConfig{Level: "info", Format: "text"},
	}
}

// Duration is a time.Duration whose text may also use days (d) and weeks (w),
// and always has a unit.
type Duration time.Duration

// Std returns the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// UnmarshalText reads 100ms, 1h30m, 7d or 0.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := parseDuration(string(b))
	if err != nil {
		return err
	}
	if v < 0 {
		return fmt.Errorf("%q is negative", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the shortest text: 8h rather than 8h0m0s.
func (d Duration) MarshalText() ([]byte, error) {
	if d == 0 {
		return []byte("0"), nil
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return []byte(s), nil
}

// parseDuration is time.ParseDuration with days and weeks.
func parseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(s, suffix); ok {
			f, err := strconv.ParseFloat(n, 64)
			if err != nil || !(math.Abs(f*float64(unit)) < float64(1<<62)) { // also NaN
				return 0, fmt.Errorf("%q is not a duration such as 100ms, 5m, 8h or 30d", s)
			}
			return time.Duration(f * float64(unit)), nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 100ms, 5m, 8h or 30d", s)
	}
	return v, nil
}

// ByteSize is a number of octets; its text may use KiB, MiB, GiB, TiB.
type ByteSize int64

var byteUnits = [...]struct {
	name string
	size int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}}

// UnmarshalText reads 64GiB, 500MB or a plain number of octets.
func (b *ByteSize) UnmarshalText(text []byte) error {
	s, unit := strings.TrimSpace(string(text)), int64(1)
	for _, u := range byteUnits {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSpace(n), u.size
			break
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f*float64(unit) < float64(1<<62)) { // also NaN
		return fmt.Errorf("%q is not a size such as 500MiB or 64GiB", text)
	}
	*b = ByteSize(f * float64(unit))
	return nil
}

// MarshalText writes the size in the largest binary unit that divides it.
func (b ByteSize) MarshalText() ([]byte, error) {
	for _, u := range byteUnits[:4] {
		if b != 0 && int64(b)%u.size == 0 {
			return fmt.Appendf(nil, "%d%s", int64(b)/u.size, u.name), nil
		}
	}
	return fmt.Appendf(nil, "%d", int64(b)), nil
}

// configKey is one leaf of Config: a key that has a value.
type configKey struct {
	path   string // dotted
	doc    string
	secret bool
	later  bool
	index  []int // for reflect.Value.FieldByIndex
}

// env returns the environment variable of the key.
func (k configKey) env() string {
	return "RIBTAP_" + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

// value returns the key's value in c.
func (k configKey) value(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().FieldByIndex(k.index)
}

// entryKey is a key of each entry of a list.
type entryKey struct{ name, def, doc string }

// entries lists the keys of the entries of a list of mappings, if they are
// documented one by one.
func (k configKey) entries() (out []entryKey) {
	t := reflect.TypeFor[Config]().FieldByIndex(k.index).Type
	if t.Kind() != reflect.Slice || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Elem().Fields() {
		e := entryKey{f.Tag.Get("mapstructure"), f.Tag.Get("default"), f.Tag.Get("doc")}
		if e.doc == "" {
			return nil
		}
		if e.def == "" {
			e.def = `""`
		}
		out = append(out, e)
	}
	return out
}

// configSection is a group of keys.
type configSection struct{ path, doc string }

// configKeys lists every key, and every section before its keys, in the order
// of the struct's fields.
func configKeys() (keys []configKey, sections []configSection) {
	var walk func(t reflect.Type, path string, index []int)
	walk = func(t reflect.Type, path string, index []int) {
		for i := range t.NumField() {
			f := t.Field(i)
			k := configKey{
				path: path + f.Tag.Get("mapstructure"), doc: f.Tag.Get("doc"),
				secret: f.Tag.Get("secret") != "", later: f.Tag.Get("later") != "",
				index: append(append([]int(nil), index...), i),
			}
			if k.later {
				k.doc += " (not in this version)"
			}
			if f.Type.Kind() == reflect.Struct {
				sections = append(sections, configSection{k.path, k.doc})
				walk(f.Type, k.path+".", k.index)
				continue
			}
			keys = append(keys, k)
		}
	}
	walk(reflect.TypeFor[Config](), "", nil)
	return keys, sections
}

// plain turns a value into what YAML and JSON show: text for those that have a
// text form, itself otherwise.
func plain(v reflect.Value) any {
	if d, ok := v.Interface().(Duration); ok && d == 0 {
		return 0
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		if err == nil {
			return string(b)
		}
	}
	return v.Interface()
}
