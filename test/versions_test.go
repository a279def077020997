package test

import (
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks"
)

// TestVersions makes a cluster of every Kubernetes version that is built, and is refused
// those that are not.
func TestVersions(t *testing.T) {
	watch := newStopwatch(t)
	d, cloud := newDaemon(t)
	ctx := t.Context()
	land, err := cloud.Landscape(ctx)
	no(t, err)
	built := d.Versions()
	if len(built) == 0 {
		t.Fatal("no Kubernetes version is built")
	}
	out, err := cloud.EKS.DescribeClusterVersions(ctx, &eks.DescribeClusterVersionsInput{IncludeAll: aws.Bool(true)})
	no(t, err)
	var listed []string
	defaults := 0
	for _, v := range out.ClusterVersions {
		listed = append(listed, *v.ClusterVersion)
		if v.DefaultVersion {
			defaults++
		}
	}
	slices.Sort(listed)
	if !slices.Equal(listed, built) || defaults != 1 {
		t.Errorf("DescribeClusterVersions lists %v with %d defaults; built are %v", listed, defaults, built)
	}
	for _, v := range []string{"1.34", "1.35", "1.36", "1.12", "1.35.4", "latest"} {
		if slices.Contains(built, v) {
			continue
		}
		_, err := cloud.EKS.CreateCluster(ctx, land.ClusterInput("absent", v))
		wantError(t, "version "+v, err, 400, "InvalidParameterException", "unsupported Kubernetes version "+v)
	}
	var wg sync.WaitGroup
	for _, v := range built {
		wg.Go(func() {
			name := "v" + v[2:]
			if _, err := cloud.EKS.CreateCluster(ctx, land.ClusterInput(name, v)); err != nil {
				t.Error(err)
				return
			}
			cl, err := cloud.AwaitCluster(ctx, name)
			if err != nil {
				t.Error(err)
				return
			}
			k, err := cloud.Kube(cl)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := k.Discovery().ServerVersion()
			if err != nil {
				t.Error(err)
				return
			}
			if want, err := d.GitVersion(v); err != nil || got.GitVersion != want || *cl.Version != v {
				t.Errorf("cluster %s runs %s, want %s (%v)", *cl.Version, got.GitVersion, want, err)
			}
		})
	}
	wg.Wait()
	watch.done("clusters of all versions")
}
