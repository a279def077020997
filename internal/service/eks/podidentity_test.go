package eks_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"

	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const podRole = "arn:aws:iam::" + account + ":role/pod"

// podRole makes a role that pods may have.
func (w *world) podRole(t *testing.T, arn string) {
	t.Helper()
	w.role(t, arn, "pods.eks.amazonaws.com")
	w.Update(t, func(tx *store.Tx) {
		r, _ := tx.Roles.Get(arn)
		r.Trust = strings.Replace(r.Trust, `"sts:AssumeRole"`, `["sts:AssumeRole","sts:TagSession"]`, 1)
		tx.Roles.Put(arn, r)
	})
}

func association(cluster, namespace, serviceAccount string) *sdk.CreatePodIdentityAssociationInput {
	return &sdk.CreatePodIdentityAssociationInput{ClusterName: &cluster, Namespace: &namespace, ServiceAccount: &serviceAccount, RoleArn: aws.String(podRole)}
}

func TestPodIdentityAssociationLife(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c1")
	w.podRole(t, podRole)
	in := association("c1", "app", "web.v1")
	in.Tags, in.ClientRequestToken = map[string]string{"k": "v"}, aws.String("once")
	made, err := w.root.CreatePodIdentityAssociation(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	id := *made.Association.AssociationId
	if !strings.HasPrefix(id, "a-") || len(id) != 19 || *made.Association.AssociationArn != "arn:aws:eks:us-west-2:"+account+":podidentityassociation/c1/"+id {
		t.Errorf("made %s %s", id, *made.Association.AssociationArn)
	}
	again, err := w.root.CreatePodIdentityAssociation(t.Context(), in)
	if err != nil || *again.Association.AssociationId != id {
		t.Errorf("the same token: %+v, %v", again, err)
	}
	in.Namespace = aws.String("other")
	_, err = w.root.CreatePodIdentityAssociation(t.Context(), in)
	fails(t, err, "InvalidParameterException", "The clientRequestToken was already used with different request parameters.")
	_, err = w.root.CreatePodIdentityAssociation(t.Context(), association("c1", "app", "web.v1"))
	fails(t, err, "ResourceInUseException", "Association already exists: "+id)
	if _, err := w.root.CreatePodIdentityAssociation(t.Context(), association("c1", "app", "other")); err != nil {
		t.Fatal(err)
	}
	list, err := w.root.ListPodIdentityAssociations(t.Context(), &sdk.ListPodIdentityAssociationsInput{ClusterName: aws.String("c1"), MaxResults: aws.Int32(1)})
	if err != nil || len(list.Associations) != 1 || list.NextToken == nil {
		t.Fatalf("a page of one: %+v, %v", list, err)
	}
	list, err = w.root.ListPodIdentityAssociations(t.Context(), &sdk.ListPodIdentityAssociationsInput{ClusterName: aws.String("c1"), ServiceAccount: aws.String("web.v1")})
	if err != nil || len(list.Associations) != 1 || *list.Associations[0].AssociationId != id {
		t.Fatalf("of an account: %+v, %v", list, err)
	}
	w.podRole(t, podRole+"2")
	updated, err := w.root.UpdatePodIdentityAssociation(t.Context(), &sdk.UpdatePodIdentityAssociationInput{
		ClusterName: aws.String("c1"), AssociationId: &id, RoleArn: aws.String(podRole + "2"), TargetRoleArn: aws.String("arn:aws:iam::111111111111:role/target"),
	})
	if err != nil || *updated.Association.ExternalId != "us-west-2/"+account+"/c1/app/web.v1" {
		t.Fatalf("updated: %+v, %v", updated, err)
	}
	if _, err = w.root.DescribePodIdentityAssociation(t.Context(), &sdk.DescribePodIdentityAssociationInput{ClusterName: aws.String("c1"), AssociationId: &id}); err != nil {
		t.Fatal(err)
	}
	if tags, err := w.root.ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceArn: made.Association.AssociationArn}); err != nil || tags.Tags["k"] != "v" {
		t.Errorf("tags %+v, %v", tags, err)
	}
	if _, err := w.root.DeletePodIdentityAssociation(t.Context(), &sdk.DeletePodIdentityAssociationInput{ClusterName: aws.String("c1"), AssociationId: &id}); err != nil {
		t.Fatal(err)
	}
	_, err = w.root.DescribePodIdentityAssociation(t.Context(), &sdk.DescribePodIdentityAssociationInput{ClusterName: aws.String("c1"), AssociationId: &id})
	fails(t, err, "ResourceNotFoundException", "No association found with id: "+id)
}

func TestPodIdentityAssociationRefusals(t *testing.T) {
	w := newWorld(t)
	w.active(t, "c1")
	w.podRole(t, podRole)
	w.role(t, podRole+"-untagged", "pods.eks.amazonaws.com")
	trust := "Trust policy of role %s does not allow pods.eks.amazonaws.com to perform sts:AssumeRole and sts:TagSession"
	const invalid = "InvalidParameterException"
	for name, c := range map[string]struct {
		change        func(*sdk.CreatePodIdentityAssociationInput)
		code, message string
	}{
		"namespace": {func(in *sdk.CreatePodIdentityAssociationInput) {
			in.Namespace, in.ClusterName = aws.String("App"), aws.String("none")
		}, invalid,
			`The parameter namespace contains invalid characters. It should conform to the regular expression "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"`},
		"account": {func(in *sdk.CreatePodIdentityAssociationInput) { in.ServiceAccount = aws.String("a..b") }, invalid,
			`The parameter serviceAccount contains invalid characters. It should conform to the regular expression "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"`},
		"policy": {func(in *sdk.CreatePodIdentityAssociationInput) { in.Policy = aws.String(`{}`) }, invalid,
			"When policy is specified, disableSessionTags must be set to true"},
		"account of the role": {func(in *sdk.CreatePodIdentityAssociationInput) {
			in.RoleArn = aws.String("arn:aws:iam::111111111111:role/pod")
		},
			"AccessDeniedException", "Cross-account pass role is not allowed."},
		"no role":   {func(in *sdk.CreatePodIdentityAssociationInput) { in.RoleArn = aws.String(podRole + "-none") }, invalid, "Role provided in the request does not exist: " + podRole + "-none"},
		"not a pod": {func(in *sdk.CreatePodIdentityAssociationInput) { in.RoleArn = aws.String(nodeRole) }, invalid, strings.Replace(trust, "%s", nodeRole, 1)},
		"no tags":   {func(in *sdk.CreatePodIdentityAssociationInput) { in.RoleArn = aws.String(podRole + "-untagged") }, invalid, strings.Replace(trust, "%s", podRole+"-untagged", 1)},
		"cluster":   {func(in *sdk.CreatePodIdentityAssociationInput) { in.ClusterName = aws.String("none") }, "ResourceNotFoundException", "No cluster found for name: none."},
	} {
		t.Run(name, func(t *testing.T) {
			in := association("c1", "app", "web")
			c.change(in)
			before := w.records(t)
			_, err := w.root.CreatePodIdentityAssociation(t.Context(), in)
			fails(t, err, c.code, c.message)
			if after := w.records(t); after != before {
				t.Errorf("left behind: %s, before %s", after, before)
			}
		})
	}
	in := association("c1", "app", "web")
	in.RoleArn, in.DisableSessionTags, in.Policy = aws.String(podRole+"-untagged"), aws.Bool(true), aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)
	out, err := w.root.CreatePodIdentityAssociation(t.Context(), in)
	if err != nil {
		t.Fatalf("without session tags: %v", err)
	}
	w.Update(t, func(tx *store.Tx) {
		a, _ := tx.PodIdentityAssociations.Get(*out.Association.AssociationArn)
		a.Owner = "arn:aws:eks:us-west-2:" + account + ":addon/c1/x/y"
		tx.PodIdentityAssociations.Put(a.ARN, a)
	})
	_, err = w.root.UpdatePodIdentityAssociation(t.Context(), &sdk.UpdatePodIdentityAssociationInput{ClusterName: aws.String("c1"), AssociationId: out.Association.AssociationId})
	fails(t, err, "InvalidRequestException", "The pod identity association "+*out.Association.AssociationId+" is owned by arn:aws:eks:us-west-2:"+account+":addon/c1/x/y and can be updated through its add-on only")
}

// The webhook and EKS Auth read what is recorded here.
func TestPodIdentityAssociationRecord(t *testing.T) {
	w := newWorld(t)
	c := w.active(t, "c1")
	w.podRole(t, podRole)
	if _, err := w.root.CreatePodIdentityAssociation(t.Context(), association("c1", "app", "web")); err != nil {
		t.Fatal(err)
	}
	var found []resource.PodIdentityAssociation
	_ = w.Store.View(func(tx *store.Tx) error {
		for a := range tx.PodIdentityAssociations.Values(func(a resource.PodIdentityAssociation) bool { return a.Is(c.ARN, "app", "web") }) {
			found = append(found, a)
		}
		return nil
	})
	if len(found) != 1 || found[0].Role != podRole || found[0].ExternalID != "" {
		t.Errorf("records %+v", found)
	}
}
