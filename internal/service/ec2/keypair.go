package ec2

import (
	"context"
	"slices"

	"ekster.dev/ekster/gen/ec2"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/provision"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

// DescribeKeyPairs lists key pairs.
func (s *Service) DescribeKeyPairs(ctx context.Context, call awsapi.Call, in *ec2.DescribeKeyPairsInput) (*ec2.DescribeKeyPairsOutput, error) {
	out := &ec2.DescribeKeyPairsOutput{}
	return out, s.view(ctx, call, in.DryRun, func(tx *store.Tx) (err error) {
		ids := in.KeyPairIds
		for _, name := range in.KeyNames {
			id := ""
			for k := range tx.KeyPairs.Values(func(k resource.KeyPair) bool { return k.Home == homeOf(call) && k.Name == name }) {
				id = k.ID
			}
			if id == "" {
				return fault("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
			}
			ids = append(slices.Clone(ids), id)
		}
		out.KeyPairs, _, err = kind[resource.KeyPair, ec2.KeyPairInfo]{
			noun: provision.KeyPairs, table: tx.KeyPairs,
			home:     func(k resource.KeyPair) resource.Home { return k.Home },
			describe: func(k resource.KeyPair) ec2.KeyPairInfo { return describeKeyPair(k, is(in.IncludePublicKey)) },
			id:       func(k ec2.KeyPairInfo) string { return *k.KeyPairId },
			tags:     func(k ec2.KeyPairInfo) []ec2.Tag { return k.Tags },
			fields: fields[ec2.KeyPairInfo]{
				"key-pair-id": func(k ec2.KeyPairInfo) []string { return text(k.KeyPairId) },
				"key-name":    func(k ec2.KeyPairInfo) []string { return text(k.KeyName) },
				"fingerprint": func(k ec2.KeyPairInfo) []string { return text(k.KeyFingerprint) },
			},
		}.list(homeOf(call), query{ids: ids, filters: in.Filters})
		return err
	})
}

func describeKeyPair(k resource.KeyPair, public bool) ec2.KeyPairInfo {
	out := ec2.KeyPairInfo{
		KeyPairId: &k.ID, KeyName: &k.Name, KeyFingerprint: &k.Fingerprint, KeyType: new("rsa"), CreateTime: &k.Created, Tags: tagSet(k.Tags),
	}
	if public {
		out.PublicKey = &k.PublicKey
	}
	return out
}
