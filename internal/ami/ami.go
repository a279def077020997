// Package ami knows the machine images that nodes are launched from: EKS's own
// Amazon Linux 2023 images and Bottlerocket's, one release for every Kubernetes minor
// version served.
//
// As on AWS an image belongs to a region, and its id differs from region to region.
// The id is a hash of region and name, so that it means the same to every daemon,
// today and after an upgrade, without being kept anywhere. SSM's public parameters
// lead to the images:
//
//	/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/
//	    recommended                      all of it, as JSON
//	    recommended/image_id             also image_name, release_version
//	    <image name>/image_id            the same, for one pinned release
//	/aws/service/bottlerocket/aws-k8s-1.35/x86_64/
//	    latest/image_id                  also image_version
//	    <version>/image_id               the same, for one version: 1.60.0
//
// There is no disk image behind an id: package machine boots every instance from
// the host's files. What differs is the user data that it reads. The package has no GPU,
// Windows images, and none of FIPS apart.
package ami

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Owner is the account that publishes EKS's images, BottlerocketOwner Bottlerocket's.
const (
	Owner             = "602401143452"
	BottlerocketOwner = "092701018921"
)

// Architectures, as EC2 spells them.
const (
	X8664 = "x86_64"
	ARM64 = "arm64"
)

// Variants: Amazon Linux 2023 without accelerators, and Bottlerocket.
const (
	Standard     = "standard"
	Bottlerocket = "bottlerocket"
)

// Bottlerocket's one release, and the volume that it keeps containers on, besides the one
// with the system.
const (
	bottlerocketVersion = "1.60.0"
	bottlerocketBuild   = "5d1e8c2a"
	DataDevice          = "/dev/xvdb"
	// SystemDiskGiB is the size of a Bottlerocket image's root volume.
	SystemDiskGiB = 2
)

// DefaultDiskGiB is the size of an image's root volume.
const DefaultDiskGiB = 20

// RootDevice is the device name of an image's root volume.
const RootDevice = "/dev/xvda"

// An Image is one image in one region.
type Image struct {
	ID       string // ami-…
	Region   string
	Minor    string // of Kubernetes: 1.35
	Arch     string // X8664, ARM64
	Variant  string // Standard, Bottlerocket
	Name     string // amazon-eks-node-al2023-x86_64-standard-1.35-v20261105
	Release  string // 1.35.4-20261105; of Bottlerocket its own: 1.60.0-5d1e8c2a
	Snapshot string // snap-… of the root volume
	Created  time.Time
}

// releases are the images' Kubernetes versions, by minor version. They are those of
// the payload (distro/*.mod), since it is the payload's kubelet that nodes run. A newer
// one goes before the older ones of its minor version; none may leave, since launch
// templates name their images.
var releases = [...]struct{ minor, patch, date string }{
	{"1.34", "1.34.4", "20261105"},
	{"1.35", "1.35.4", "20261105"},
	{"1.36", "1.36.3", "20261105"},
}

var arches = [...]string{X8664, ARM64}

// Minors returns the minor versions of Kubernetes that there are images for.
func Minors() []string {
	var out []string
	for _, r := range releases {
		out = append(out, r.minor)
	}
	return out
}

// All returns the images of a region.
func All(region string) []Image {
	var out []Image
	for _, r := range releases {
		for _, arch := range arches {
			out = append(out, image(region, r.minor, r.patch, r.date, arch), bottlerocket(region, r.minor, r.date, arch))
		}
	}
	return out
}

// ByID returns the image of the region that has the id, and whether there is one.
func ByID(region, id string) (Image, bool) {
	for _, i := range All(region) {
		if i.ID == id {
			return i, true
		}
	}
	return Image{}, false
}

// Recommended returns the newest image for a minor version of Kubernetes, and
// whether there is one.
func Recommended(region, minor, arch, variant string) (Image, bool) {
	for _, i := range All(region) {
		if i.Minor == minor && i.Arch == arch && i.Variant == variant {
			return i, true
		}
	}
	return Image{}, false
}

// Parameter returns the value of a public SSM parameter that leads to an image, and
// whether there is one of that name.
func Parameter(region, name string) (string, bool) {
	if rest, ok := strings.CutPrefix(name, "/aws/service/bottlerocket/aws-k8s-"); ok {
		return bottlerocketParameter(region, strings.Split(rest, "/"))
	}
	rest, ok := strings.CutPrefix(name, "/aws/service/eks/optimized-ami/")
	if !ok {
		return "", false
	}
	p := strings.Split(rest, "/")
	if len(p) < 5 || len(p) > 6 || p[1] != "amazon-linux-2023" {
		return "", false
	}
	i, ok := Recommended(region, p[0], p[2], p[3])
	if !ok || (p[4] != "recommended" && p[4] != i.Name) {
		return "", false
	}
	if len(p) == 5 {
		return fmt.Sprintf(`{"schema_version":"2","image_id":%q,"image_name":%q,"release_version":%q}`, i.ID, i.Name, i.Release), true
	}
	switch p[5] {
	case "image_id":
		return i.ID, true
	case "image_name":
		return i.Name, true
	case "release_version":
		return i.Release, true
	}
	return "", false
}

// bottlerocketParameter is Parameter for minor, architecture, version and what of it.
func bottlerocketParameter(region string, p []string) (string, bool) {
	if len(p) != 4 {
		return "", false
	}
	i, ok := Recommended(region, p[0], p[1], Bottlerocket)
	if !ok || p[2] != "latest" && p[2] != bottlerocketVersion && p[2] != i.Release {
		return "", false
	}
	switch p[3] {
	case "image_id":
		return i.ID, true
	case "image_version":
		return i.Release, true
	}
	return "", false
}

func bottlerocket(region, minor, date, arch string) Image {
	name := "bottlerocket-aws-k8s-" + minor + "-" + arch + "-v" + bottlerocketVersion + "-" + bottlerocketBuild
	created, _ := time.Parse("20060102", date)
	return Image{
		ID: "ami-0" + digest(region, name), Region: region, Minor: minor, Arch: arch, Variant: Bottlerocket, Name: name,
		Release: bottlerocketVersion + "-" + bottlerocketBuild, Snapshot: "snap-0" + digest(region, name, "root"), Created: created,
	}
}

// DataSnapshot is the snapshot of the image's data volume; "" if it has none.
func (i Image) DataSnapshot() string {
	if i.Variant != Bottlerocket {
		return ""
	}
	return "snap-0" + digest(i.Region, i.Name, "data")
}

func image(region, minor, patch, date, arch string) Image {
	name := "amazon-eks-node-al2023-" + arch + "-" + Standard + "-" + minor + "-v" + date
	created, _ := time.Parse("20060102", date) // the table's dates are checked by the test
	return Image{
		ID:       "ami-0" + digest(region, name),
		Region:   region,
		Minor:    minor,
		Arch:     arch,
		Variant:  Standard,
		Name:     name,
		Release:  patch + "-" + date,
		Snapshot: "snap-0" + digest(region, name, "root"),
		Created:  created,
	}
}

// digest is 16 hex digits that stand for parts.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "/")))
	return hex.EncodeToString(sum[:8])
}

// Resolve returns the image id that a launch template or a launch means: an id stands
// for itself, and resolve:ssm:NAME for what the public parameter NAME holds.
func Resolve(region, image string) (string, bool) {
	name, ok := strings.CutPrefix(image, "resolve:ssm:")
	if !ok {
		return image, true
	}
	return Parameter(region, name)
}
