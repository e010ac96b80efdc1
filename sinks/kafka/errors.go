package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

var (
	// ErrClosed is returned by a Sink after Close.
	ErrClosed = errors.New("kafka: closed")
	// ErrNotNumbered is returned for an event that has no sequence.
	ErrNotNumbered = errors.New("kafka: event without a sequence")
)

// Reasons of an Error.
const (
	ReasonNetwork    = "network"
	ReasonTimeout    = "timeout"
	ReasonTLS        = "tls"
	ReasonAuth       = "auth"
	ReasonPermission = "permission"
	ReasonTopic      = "topic"
	ReasonLeader     = "leader"
	ReasonReplicas   = "replicas"
	ReasonSequence   = "sequence"
	ReasonSize       = "size"
	ReasonTime       = "time"
	ReasonDisk       = "disk"
	ReasonState      = "state"
	ReasonOther      = "error"
)

// Error is a failure on the way to a broker.
type Error struct {
	reason string
	what   string // what was tried
	hint   string // what to do, or empty
	err    error
}

// RetryReason is a word for metrics: few values, whatever the error says.
func (e *Error) RetryReason() string { return e.reason }

// Configured reports whether waiting will not help, because what is configured
// here or at the broker is wrong.
func (e *Error) Configured() bool {
	switch e.reason {
	case ReasonTLS, ReasonAuth, ReasonPermission:
		return true
	}
	return false
}

// clientName is how kafka-go begins its errors.
var clientName = regexp.MustCompile(`^kafka\.\(\*Client\)\.\w+: `)

func (e *Error) Error() string {
	text := e.err.Error()
	var code kafkago.Error
	if errors.As(e.err, &code) {
		// The client's text of a code is a paragraph.
		text = strings.Replace(text, code.Error(), code.Title(), 1)
	}
	text = clientName.ReplaceAllString(text, "")
	text = "kafka: " + e.what + ": " + strings.ReplaceAll(text, "\n", " ")
	if e.hint != "" {
		text += " (" + e.hint + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.err }

// fault wraps an error of the client.
func fault(err error, format string, args ...any) error { return wrap(err, false, format, args...) }

// connectFault is fault for the first request on a connection, where a wrong
// configuration shows.
func connectFault(err error, format string, args ...any) error {
	return wrap(err, true, format, args...)
}

func wrap(err error, connecting bool, format string, args ...any) error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	e := &Error{what: fmt.Sprintf(format, args...), err: err}
	if e.reason, e.hint = reasonOf(err); e.reason == ReasonNetwork && !connecting {
		e.hint = "" // it worked before
	}
	return e
}

// codeReasons are the broker's error codes that have a reason of their own.
var codeReasons = map[kafkago.Error]struct{ reason, hint string }{
	kafkago.SASLAuthenticationFailed:     {ReasonAuth, "check sasl.username and the password"},
	kafkago.UnsupportedSASLMechanism:     {ReasonAuth, "the broker does not offer this sasl.mechanism"},
	kafkago.IllegalSASLState:             {ReasonAuth, "the listener wants no SASL, or another mechanism"},
	kafkago.TopicAuthorizationFailed:     {ReasonPermission, "the user needs Describe and Write on the topic, Read for checks after a crash, and Create if it is missing"},
	kafkago.ClusterAuthorizationFailed:   {ReasonPermission, "the user needs IdempotentWrite on the cluster, or Write on a topic"},
	kafkago.UnknownTopicOrPartition:      {ReasonTopic, ""},
	kafkago.UnknownTopicID:               {ReasonTopic, ""},
	kafkago.InvalidReplicationFactor:     {ReasonTopic, "replication is more than there are brokers"},
	kafkago.PolicyViolation:              {ReasonTopic, "the cluster's policy refuses the topic's settings"},
	kafkago.NotLeaderForPartition:        {ReasonLeader, ""},
	kafkago.LeaderNotAvailable:           {ReasonLeader, ""},
	kafkago.FencedLeaderEpoch:            {ReasonLeader, ""},
	kafkago.NotEnoughReplicas:            {ReasonReplicas, "fewer copies are in sync than min.insync.replicas"},
	kafkago.NotEnoughReplicasAfterAppend: {ReasonReplicas, "fewer copies are in sync than min.insync.replicas"},
	kafkago.OutOfOrderSequenceNumber:     {ReasonSequence, ""},
	kafkago.UnknownProducerId:            {ReasonSequence, ""},
	kafkago.InvalidProducerEpoch:         {ReasonSequence, ""},
	kafkago.InvalidProducerIDMapping:     {ReasonSequence, ""},
	kafkago.ProducerFenced:               {ReasonSequence, ""},
	kafkago.MessageSizeTooLarge:          {ReasonSize, ""},
	kafkago.RecordListTooLarge:           {ReasonSize, ""},
	kafkago.InvalidTimestamp:             {ReasonTime, "the topic refuses the events' times: see message.timestamp.before.max.ms and after.max.ms, and the clocks"},
	kafkago.KafkaStorageError:            {ReasonDisk, "the broker cannot write: is its disk full?"},
	kafkago.RequestTimedOut:              {ReasonTimeout, ""},
}

func reasonOf(err error) (reason, hint string) {
	var code kafkago.Error
	if errors.As(err, &code) {
		if r, ok := codeReasons[code]; ok {
			return r.reason, r.hint
		}
		return ReasonOther, ""
	}
	switch {
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		return ReasonTopic, ""
	case errors.Is(err, protocol.ErrNoLeader):
		return ReasonLeader, ""
	}
	var record tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	var netErr net.Error
	text := err.Error()
	switch {
	case errors.As(err, &record):
		return ReasonTLS, "the broker's listener does not speak TLS: check the port, or set tls.enabled false"
	case errors.As(err, &unknown):
		return ReasonTLS, "set tls.ca to the authority of the broker's certificate"
	case errors.As(err, &host):
		return ReasonTLS, "the certificate is for another name: use that name in brokers, or set tls.server_name"
	case strings.Contains(text, "expecting TLS"):
		return ReasonTLS, "the broker's listener speaks TLS: set tls.enabled"
	case errors.As(err, &invalid), errors.As(err, &verify), errors.As(err, &alert), strings.Contains(text, "tls: "):
		return ReasonTLS, ""
	case strings.Contains(text, "SASL"), strings.Contains(text, "challenge"), strings.Contains(text, "scram"):
		return ReasonAuth, "check sasl.mechanism, sasl.username and the password"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return ReasonTimeout, ""
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ReasonNetwork, "the broker closed the connection; if it always does, tls and sasl are not what its listener wants"
	case errors.As(err, &netErr):
		return ReasonNetwork, ""
	}
	return ReasonOther, ""
}
