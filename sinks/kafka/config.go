package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Formats of a record's value.
const (
	FormatJSON      = "json"       // docs/events.md
	FormatProtobuf  = "protobuf"   // api/proto/ribtap/v1/event.proto
	FormatOBMPRaw   = "obmp-raw"   // OpenBMP 1.7 binary frames
	FormatGoBMPJSON = "gobmp-json" // GoBMP's topics and fields
)

// Compressions of a record batch.
const (
	CompressionZstd = "zstd"
	CompressionGzip = "gzip"
	CompressionNone = "none"
)

// Mechanisms of SASL.
const (
	SASLPlain       = "plain"
	SASLScramSHA256 = "scram-sha-256"
	SASLScramSHA512 = "scram-sha-512"
)

// Config says where records go and what they look like.
type Config struct {
	// Brokers are host:port addresses of which one is enough to find the rest.
	Brokers []string
	// Topic takes the events. The format gobmp-json has GoBMP's topic names
	// instead, with TopicPrefix and a dot before them if it is not empty.
	Topic       string
	TopicPrefix string
	// TopicState is the compacted topic of current routes; empty for none.
	TopicState string
	Format     string
	// Raw adds the octets as they arrived to the JSON form.
	Raw bool
	// Partitions, Replication and Retention are those of a topic that is made
	// because it is missing; Replication 0 and Retention 0 leave them to the
	// broker.
	Partitions  int
	Replication int
	Retention   time.Duration
	Compression string
	ClientID    string
	// StateDir holds state.json, which makes a restart go on without repetition.
	StateDir string
	// Collector is this collector's name, in keys and headers.
	Collector string
	// Timeout bounds one request, and the wait for a connection.
	Timeout time.Duration
	TLS     TLS
	SASL    SASL
}

// TLS secures the connections to the brokers.
type TLS struct {
	Enabled bool
	// CA is a PEM file with the authorities to trust instead of the system's.
	CA string
	// Cert and Key are PEM files of the client's certificate.
	Cert, Key string
	// ServerName is the name to verify instead of the broker's address.
	ServerName string
	// Insecure accepts any certificate.
	Insecure bool
}

// SASL authenticates to the brokers.
type SASL struct {
	Mechanism string // empty for none
	Username  string
	Password  string
	// PasswordFile is read at the start; its last line end does not count.
	PasswordFile string
}

// DefaultConfig has the names of docs/kafka.md; Brokers and StateDir are left
// to the caller.
func DefaultConfig() Config {
	return Config{
		Topic:       "ribtap.events",
		Format:      FormatJSON,
		Partitions:  6,
		Retention:   7 * 24 * time.Hour,
		Compression: CompressionZstd,
		ClientID:    "ribtap",
		Collector:   "rt1",
		Timeout:     10 * time.Second,
	}
}

// topicName is what Apache Kafka takes as a topic's name.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// Validate names every setting that cannot work.
func (c *Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf("kafka: "+format, args...)) }
	if len(c.Brokers) == 0 {
		fail("brokers is empty: give at least one host:port")
	}
	for _, b := range c.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			fail("brokers %q: use host:port", b)
		}
	}
	for _, t := range []struct {
		key, name string
		optional  bool
	}{{"topic", c.Topic, false}, {"topic_state", c.TopicState, true}, {"topic_prefix", c.TopicPrefix, true}} {
		if t.name == "" && t.optional {
			continue
		}
		if !topicName.MatchString(t.name) || t.name == "." || t.name == ".." {
			fail("%s %q: use 1 to 249 letters, digits, '.', '_' or '-'", t.key, t.name)
		}
	}
	if c.TopicState != "" && c.TopicState == c.Topic {
		fail("topic_state and topic are both %q: the state topic is compacted, give it a name of its own", c.Topic)
	}
	oneOf := func(key, v string, values ...string) {
		if !slices.Contains(values, v) {
			fail("%s %q: use %s", key, v, strings.Join(values, ", "))
		}
	}
	oneOf("format", c.Format, FormatJSON, FormatProtobuf, FormatOBMPRaw, FormatGoBMPJSON)
	oneOf("compression", c.Compression, CompressionZstd, CompressionGzip, CompressionNone)
	if c.Partitions < 1 || c.Partitions > 10_000 {
		fail("partitions %d: use 1 to 10,000", c.Partitions)
	}
	if c.Replication < 0 || c.Replication > 100 {
		fail("replication %d: use 0 (the broker's default) or the number of copies", c.Replication)
	}
	if c.Retention < 0 {
		fail("retention %v: use 0 (the broker's default) or a duration", c.Retention)
	}
	if c.StateDir == "" {
		fail("state_dir is empty")
	}
	if c.Collector == "" || len(c.Collector) > maxCollector {
		fail("collector %q: use a name of 1 to %d octets", c.Collector, maxCollector)
	}
	if c.Timeout < 100*time.Millisecond || c.Timeout > 10*time.Minute {
		fail("timeout %v: use 100ms to 10m", c.Timeout)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		fail("tls: cert and key go together")
	}
	if !c.TLS.Enabled && c.TLS != (TLS{}) {
		fail("tls: settings are given but enabled is false")
	}
	c.validateSASL(fail, oneOf)
	return errors.Join(errs...)
}

// maxCollector keeps the name well within the 16 bits of an OpenBMP frame.
const maxCollector = 255

func (c *Config) validateSASL(fail func(string, ...any), oneOf func(string, string, ...string)) {
	s := &c.SASL
	if s.Mechanism == "" {
		if *s != (SASL{}) {
			fail("sasl: a user or password is given but no mechanism: use %s, %s or %s", SASLPlain, SASLScramSHA256, SASLScramSHA512)
		}
		return
	}
	oneOf("sasl.mechanism", s.Mechanism, SASLPlain, SASLScramSHA256, SASLScramSHA512)
	if s.Username == "" {
		fail("sasl: username is empty")
	}
	if (s.Password == "") == (s.PasswordFile == "") {
		fail("sasl: give either password or password_file")
	}
}

// tlsConfig is nil without TLS.
func (c *Config) tlsConfig() (*tls.Config, error) {
	if !c.TLS.Enabled {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.TLS.ServerName, InsecureSkipVerify: c.TLS.Insecure}
	if c.TLS.CA != "" {
		pem, err := os.ReadFile(c.TLS.CA)
		if err != nil {
			return nil, fmt.Errorf("kafka: tls.ca: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka: tls.ca: %s has no PEM certificate", c.TLS.CA)
		}
	}
	if c.TLS.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("kafka: tls.cert: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// mechanism is nil without SASL.
func (c *Config) mechanism() (sasl.Mechanism, error) {
	password := c.SASL.Password
	if c.SASL.PasswordFile != "" {
		b, err := os.ReadFile(c.SASL.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("kafka: sasl.password_file: %w", err)
		}
		password = strings.TrimRight(string(b), "\r\n")
	}
	var m sasl.Mechanism
	var err error
	switch c.SASL.Mechanism {
	case SASLPlain:
		m = plain.Mechanism{Username: c.SASL.Username, Password: password}
	case SASLScramSHA256:
		m, err = scram.Mechanism(scram.SHA256, c.SASL.Username, password)
	case SASLScramSHA512:
		m, err = scram.Mechanism(scram.SHA512, c.SASL.Username, password)
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: sasl: %w", err)
	}
	return m, nil
}
