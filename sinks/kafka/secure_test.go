//go:build integration

package kafka

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/sinks/kafka/kafkatest"
)

// certificate writes a PEM file with a certificate for 127.0.0.1 and its key, and
// one with the certificate alone, which is its own authority.
func certificate(t *testing.T) (both, public string) {
	t.Helper()
	cert, key := kafkatest.Certificate(t)
	dir := t.TempDir()
	both, public = filepath.Join(dir, "both.pem"), filepath.Join(dir, "public.pem")
	if err := errors.Join(os.WriteFile(both, slices.Concat(key, cert), 0o600), os.WriteFile(public, cert, 0o600)); err != nil {
		t.Fatal(err)
	}
	return both, public
}

func address(t *testing.T) string {
	t.Helper()
	port, err := kafkatest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// What is right works, and what is wrong says so in one line.
func TestSecurity(t *testing.T) {
	both, ca := certificate(t)
	tlsAddr, saslAddr, bothAddr := address(t), address(t), address(t)
	listeners := "SSL://" + tlsAddr + ",SASL_PLAINTEXT://" + saslAddr + ",SASL_SSL://" + bothAddr
	properties := map[string]string{
		"+listeners": listeners, "+advertised.listeners": listeners,
		"ssl.keystore.type": "PEM", "ssl.keystore.location": both,
		"sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"authorizer.class.name":   "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":             "User:ANONYMOUS;User:rt",
	}
	for _, l := range []string{"sasl_plaintext", "sasl_ssl"} {
		properties["listener.name."+l+".plain.sasl.jaas.config"] = `org.apache.kafka.common.security.plain.PlainLoginModule required user_rt="secret" user_poor="secret";`
		for _, m := range []string{"256", "512"} {
			properties["listener.name."+l+".scram-sha-"+m+".sasl.jaas.config"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		}
	}
	b := kafkatest.Own(t, properties)
	for _, m := range []string{"256", "512"} {
		b.Java(t, "kafka.admin.ConfigCommand", "--bootstrap-server", b.Addr, "--alter", "--entity-type", "users", "--entity-name", "rt",
			"--add-config", "SCRAM-SHA-"+m+"=[password=secret]")
	}
	user := func(mechanism, name, password string) SASL {
		return SASL{Mechanism: mechanism, Username: name, Password: password}
	}
	for _, tt := range []struct {
		name   string
		addr   string
		tls    TLS
		sasl   SASL
		reason string // empty: it works
		say    string
	}{
		{"tls", tlsAddr, TLS{Enabled: true, CA: ca}, SASL{}, "", ""},
		{"plain", saslAddr, TLS{}, user(SASLPlain, "rt", "secret"), "", ""},
		{"scram-256", saslAddr, TLS{}, user(SASLScramSHA256, "rt", "secret"), "", ""},
		{"scram-512 in tls", bothAddr, TLS{Enabled: true, CA: ca}, user(SASLScramSHA512, "rt", "secret"), "", ""},
		{"nobody there", address(t), TLS{}, SASL{}, ReasonNetwork, "connection refused"},
		{"unknown authority", tlsAddr, TLS{Enabled: true}, SASL{}, ReasonTLS, "tls.ca"},
		{"other name", tlsAddr, TLS{Enabled: true, CA: ca, ServerName: "kafka.example.net"}, SASL{}, ReasonTLS, "server_name"},
		{"tls to plain", b.Addr, TLS{Enabled: true, CA: ca}, SASL{}, ReasonNetwork, "tls and sasl are not"},
		{"plain to tls", tlsAddr, TLS{}, SASL{}, ReasonTLS, "tls.enabled"},
		{"no sasl", saslAddr, TLS{}, SASL{}, ReasonNetwork, "tls and sasl are not"},
		{"wrong password", saslAddr, TLS{}, user(SASLPlain, "rt", "wrong"), ReasonAuth, "password"},
		{"wrong scram password", saslAddr, TLS{}, user(SASLScramSHA256, "rt", "wrong"), ReasonAuth, "password"},
		{"no permission", saslAddr, TLS{}, user(SASLPlain, "poor", "secret"), ReasonPermission, "Write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := configFor(t, tt.addr)
			cfg.Topic = fmt.Sprintf("secure_%d", time.Now().UnixNano())
			cfg.TLS, cfg.SASL, cfg.Timeout = tt.tls, tt.sasl, 2*time.Second
			s := newTestSink(t, cfg)
			err := s.Check(t.Context())
			if tt.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				follow(t, s, 500, 100)
				whole(t, b, cfg.Topic, 500)
				return
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%v", err)
			}
			t.Logf("%s: %v", e.RetryReason(), err)
			if e.RetryReason() != tt.reason || !strings.Contains(err.Error(), tt.say) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 350 {
				t.Errorf("want reason %s and %q", tt.reason, tt.say)
			}
		})
	}
}
