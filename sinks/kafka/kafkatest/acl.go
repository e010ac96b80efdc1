package kafkatest

import (
	"context"
	"errors"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// Operations of ACLs, by Kafka's numbers.
const (
	Read     = kafkago.ACLOperationTypeRead
	Write    = kafkago.ACLOperationTypeWrite
	Create   = kafkago.ACLOperationTypeCreate
	Describe = kafkago.ACLOperationTypeDescribe
)

// Allow lets a user do something to a topic, on a broker with an authorizer that
// takes the plain listener's clients for super users.
func (b *Broker) Allow(t testing.TB, user, topic string, operations ...kafkago.ACLOperationType) {
	t.Helper()
	b.acl(t, func(ctx context.Context, c *kafkago.Client) error {
		req := &kafkago.CreateACLsRequest{}
		for _, op := range operations {
			req.ACLs = append(req.ACLs, kafkago.ACLEntry{
				ResourceType: kafkago.ResourceTypeTopic, ResourceName: topic, ResourcePatternType: kafkago.PatternTypeLiteral,
				Principal: "User:" + user, Host: "*", Operation: op, PermissionType: kafkago.ACLPermissionTypeAllow,
			})
		}
		res, err := c.CreateACLs(ctx, req)
		if err == nil {
			err = errors.Join(res.Errors...)
		}
		return err
	})
}

// Forbid takes back what Allow gave.
func (b *Broker) Forbid(t testing.TB, user, topic string, operation kafkago.ACLOperationType) {
	t.Helper()
	b.acl(t, func(ctx context.Context, c *kafkago.Client) error {
		res, err := c.DeleteACLs(ctx, &kafkago.DeleteACLsRequest{Filters: []kafkago.DeleteACLsFilter{{
			ResourceTypeFilter: kafkago.ResourceTypeTopic, ResourceNameFilter: topic, ResourcePatternTypeFilter: kafkago.PatternTypeLiteral,
			PrincipalFilter: "User:" + user, HostFilter: "*", Operation: operation, PermissionType: kafkago.ACLPermissionTypeAllow,
		}}})
		if err == nil && len(res.Results[0].MatchingACLs) != 1 {
			err = errors.New("there is no such permission")
		}
		return err
	})
}

func (b *Broker) acl(t testing.TB, do func(context.Context, *kafkago.Client) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	if err := do(ctx, &kafkago.Client{Addr: kafkago.TCP(b.Addr), Transport: transport}); err != nil {
		t.Fatalf("kafkatest: ACL: %v", err)
	}
}
