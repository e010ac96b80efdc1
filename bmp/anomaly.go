package bmp

import (
	"iter"
	"math/bits"
	"strings"
)

// Anomalies is a set of remarks about a message that was accepted although
// something in it is wrong. Each view carries its own: those of the headers are
// in Message.Anomalies, those of a body in the body's view.
type Anomalies uint32

// Members of Anomalies.
const (
	AnomalyTrailing          Anomalies = 1 << iota // octets behind the message's last part
	AnomalyPeerType                                // a peer type that no RFC defines
	AnomalyPeerAddress                             // an IPv4 address not zero-filled, or a Loc-RIB with an address
	AnomalyDistinguisher                           // a distinguisher on a global instance peer
	AnomalyPeerAS                                  // AS 0 (RFC 7607)
	AnomalyTimestamp                               // a million microseconds or more
	AnomalyLocalAddress                            // an IPv4 local address not zero-filled
	AnomalyTLVOverrun                              // a TLV reaches behind the message's end
	AnomalyBGPMarker                               // a BGP marker that is not all ones
	AnomalyOpenVersion                             // an OPEN of another version than 4
	AnomalyNoSysName                               // an Initiation without a sysName, or with an empty one
	AnomalySysNameLong                             // a sysName of more than 255 octets (RFC 1213)
	AnomalyPeerDownReason                          // no Peer Down reason, or an undefined one
	AnomalyNotification                            // no sound NOTIFICATION where one belongs
	AnomalyFSMCode                                 // an FSM event code that is not two octets
	AnomalyStatsCount                              // more statistics than the count says
	AnomalyStatLength                              // a statistic of the wrong size
	AnomalyMirrorEmpty                             // a Route Mirroring message without a TLV
	AnomalyCodeLength                              // a code TLV that is not two octets
	AnomalyTerminationReason                       // a Termination without a reason
)

// anomalyNames has a row for each bit, in order.
var anomalyNames = [...]string{
	"trailing-octets", "peer-type", "peer-address", "peer-distinguisher", "peer-as-zero", "timestamp",
	"local-address", "tlv-overrun", "bgp-marker", "open-version", "sysname-missing", "sysname-long",
	"peer-down-reason", "notification", "fsm-code", "stats-count", "stat-length", "mirror-empty",
	"code-length", "termination-reason",
}

// All iterates over the members, each as a set of one.
func (a Anomalies) All() iter.Seq[Anomalies] {
	return func(yield func(Anomalies) bool) {
		for rest := a; rest != 0; rest &= rest - 1 {
			if !yield(rest & -rest) {
				return
			}
		}
	}
}

// String returns the members' names with commas; the name of one member is a
// constant, fit for a metric label. It is empty for the empty set.
func (a Anomalies) String() string {
	if bits.OnesCount32(uint32(a)) == 1 {
		if i := bits.TrailingZeros32(uint32(a)); i < len(anomalyNames) {
			return anomalyNames[i]
		}
		return "unknown"
	}
	var names []string
	for one := range a.All() {
		names = append(names, one.String())
	}
	return strings.Join(names, ",")
}
