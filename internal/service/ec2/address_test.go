package ec2_test

import (
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Terraform asks for the reverse DNS name of every address that it makes.
func TestAddressesHaveNoReverseName(t *testing.T) {
	w := newWorld(t)
	ctx := w.Context()
	eip := must(w.AllocateAddress(ctx, &sdk.AllocateAddressInput{}))(w)
	in := &sdk.DescribeAddressesAttributeInput{AllocationIds: []string{*eip.AllocationId}, Attribute: types.AddressAttributeNameDomainName}
	if got := must(w.DescribeAddressesAttribute(ctx, in))(w).Addresses; len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	in.AllocationIds[0] = "eipalloc-0123456789abcdef0"
	fails(w.DescribeAddressesAttribute(ctx, in))(w, "InvalidAllocationID.NotFound", "")
}
