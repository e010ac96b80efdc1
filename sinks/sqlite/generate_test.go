package sqlite_test

import "github.com/ribtap/ribtap/history/historytest"

// The tests' events, by short names.

var (
	testRouter, testPeer = historytest.Router, historytest.Peer
	changed              = historytest.Changed

	message, updateMessage = historytest.Message, historytest.UpdateMessage
	attribute, attributes  = historytest.Attribute, historytest.Attributes
	communities            = historytest.Communities
	prefixes, appendPrefix = historytest.Prefixes, historytest.AppendPrefix
	announce, withdraw     = historytest.Announce, historytest.Withdraw
	routeEvent, newTable   = historytest.RouteEvent, historytest.NewTable
	open, peerUp           = historytest.Open, historytest.PeerUp
)

const (
	t0     = historytest.T0
	second = historytest.Second
)
