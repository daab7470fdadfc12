/* A tender for the tests: what Solo5's hvt tender does for a guest with one disk and one network interface,
   and no more. It is strict where the real one is: whatever a guest may not do ends it with status 1.

       tender --mem=MIB --net:service=TAP --block:storage=IMAGE [--check] ELF [ARGUMENTS...]

   --check only looks at the ELF, and needs no KVM. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ull
#define GUEST_MIN 0x100000ull
#define INFO 0x10000ull
#define NET 1
#define DISK 2

struct entry {
    char name[68];
    uint32_t type;
    union {
        struct {
            uint64_t capacity;
            uint16_t block_size;
        } block;
        struct {
            uint8_t mac[6];
            uint16_t mtu;
        } net;
        uint8_t bytes[16];
    } u;
    uint64_t private;
    uint8_t attached, padding[7];
};

static struct {
    uint32_t version, entries;
    struct entry entry[64];
} manifest;

static uint8_t *memory;
static uint64_t memory_size, entry_point, kernel_end;
static int tap = -1, image = -1;
static uint64_t capacity;
static volatile struct kvm_run *run;

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "tender: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    exit(1);
}

/* The ELF */

static void read_at(int file, void *to, uint64_t length, uint64_t offset)
{
    if (pread(file, to, length, offset) != (ssize_t)length)
        fail("the ELF is cut off");
}

/* The first note of a PT_NOTE, if its type is this one. */
static int note(int file, const Elf64_Phdr *header, uint32_t type, void *to, uint32_t length)
{
    struct {
        uint32_t name, description, type;
        char text[8];
    } head;
    if (header->p_type != PT_NOTE || header->p_filesz < sizeof head)
        return 0;
    read_at(file, &head, sizeof head, header->p_offset);
    if (head.type != type || head.name != 6 || memcmp(head.text, "Solo5", 6))
        return 0;
    if (head.description > length || head.description + sizeof head > header->p_filesz)
        fail("a note of a wrong length");
    read_at(file, to, head.description, header->p_offset + sizeof head);
    return head.description;
}

static void load(const char *path)
{
    Elf64_Ehdr elf;
    Elf64_Phdr header[64];
    uint32_t abi[4];
    static struct {
        uint32_t padding;
        uint8_t bytes[sizeof manifest];
    } __attribute__((packed)) note_of_manifest;
    int file = open(path, O_RDONLY), has_abi = 0, manifest_length = 0;
    if (file < 0)
        fail("%s: %s", path, strerror(errno));
    read_at(file, &elf, sizeof elf, 0);
    if (memcmp(elf.e_ident, ELFMAG "\2\1\1", 7) || elf.e_type != ET_EXEC || elf.e_machine != EM_X86_64 ||
        elf.e_version != 1 || elf.e_ehsize != sizeof elf || elf.e_phentsize != sizeof *header || elf.e_phnum < 1 ||
        elf.e_phnum > 64)
        fail("not an executable ELF of x86-64");
    if (elf.e_entry < GUEST_MIN || elf.e_entry >= memory_size)
        fail("the entry is outside memory");
    entry_point = elf.e_entry;
    read_at(file, header, elf.e_phnum * sizeof *header, elf.e_phoff);
    uint64_t before = GUEST_MIN;
    for (int i = 0; i < elf.e_phnum; i++) {
        if (!has_abi)
            has_abi = note(file, &header[i], 0x31494241, abi, sizeof abi);
        if (!manifest_length)
            manifest_length = note(file, &header[i], 0x3154464d, &note_of_manifest, sizeof note_of_manifest);
        if (header[i].p_type != PT_LOAD || header[i].p_filesz == 0)
            continue;
        uint64_t align = header[i].p_align, start = header[i].p_vaddr, end = start + header[i].p_memsz;
        if (align < 1 || align & (align - 1) || header[i].p_memsz < header[i].p_filesz)
            fail("a segment that cannot be");
        uint64_t first = start & ~(align - 1), last = (end + align - 1) & ~(align - 1);
        if (first % PAGE || last % PAGE || first < before || last > memory_size || end < start)
            fail("a segment of a wrong place, order or alignment");
        if ((header[i].p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
            fail("a segment that is writable and executable");
        before = kernel_end = last;
        read_at(file, memory + start, header[i].p_filesz, header[i].p_offset);
        if (!(header[i].p_flags & PF_W) && mprotect(memory + first, last - first, PROT_READ))
            fail("mprotect: %s", strerror(errno));
    }
    if (!has_abi)
        fail("no ABI note");
    if (abi[0] != 1 || abi[1] != 2)
        fail("target %u, version %u of the ABI", abi[0], abi[1]);
    if (!manifest_length)
        fail("no manifest");
    memcpy(&manifest, note_of_manifest.bytes, manifest_length - 4);
    if (manifest.version != 1 || manifest.entries < 1 || manifest.entries > 64 ||
        manifest_length != (int)(12 + sizeof(struct entry) * manifest.entries))
        fail("a manifest of a wrong version or length");
    if (manifest.entry[0].type != 0x40000000 || manifest.entry[0].name[0])
        fail("the manifest's first entry is not the reserved one");
    close(file);
}

static struct entry *declared(int number, const char *name, uint32_t type)
{
    struct entry *entry = &manifest.entry[number];
    if ((int)manifest.entries <= number || strcmp(entry->name, name) || entry->type != type)
        fail("no device %s is declared", name);
    entry->attached = 1;
    return entry;
}

static void attach(const char *interface, const char *path)
{
    for (uint32_t i = 1; i < manifest.entries; i++) {
        const char *with = manifest.entry[i].type == 2 ? interface : path;
        if (!with)
            fail("the device %s is declared, but not attached", manifest.entry[i].name);
    }
    struct entry *disk = declared(DISK, "storage", 1), *net = declared(NET, "service", 2);
    image = open(path, O_RDWR);
    if (image < 0)
        fail("%s: %s", path, strerror(errno));
    capacity = lseek(image, 0, SEEK_END);
    if (capacity == 0 || capacity % 512)
        fail("%s: not whole sectors", path);
    disk->u.block.capacity = capacity;
    disk->u.block.block_size = 512;

    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
    tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request))
        fail("%s: %s", interface, strerror(errno));
    memcpy(net->u.net.mac, "\2\0\0\0\0\x16", 6);
    net->u.net.mtu = 1500;
}

/* Calls */

static void *reach(uint64_t address, uint64_t length)
{
    if (address >= memory_size || length >= memory_size - address)
        fail("a call reaches %#llx bytes at %#llx", (unsigned long long)length, (unsigned long long)address);
    return memory + address;
}

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void call(int number, uint64_t address)
{
    uint64_t *u = reach(address, 40);
    int32_t *result = (int32_t *)u;
    switch (number) {
    case 1:
        u[0] = nanoseconds(CLOCK_REALTIME);
        break;
    case 2:
        if (write(1, reach(u[0], u[1]), u[1]) < 0)
            fail("the console: %s", strerror(errno));
        break;
    case 3: {
        struct pollfd fd = {.fd = tap, .events = POLLIN};
        struct timespec most = {.tv_sec = u[0] / 1000000000, .tv_nsec = u[0] % 1000000000};
        int ready = ppoll(&fd, 1, &most, NULL);
        u[1] = ready > 0 ? 1 << NET : 0;
        result[4] = ready > 0;
        break;
    }
    case 4:
    case 5: {
        uint64_t offset = u[1], length = u[3];
        void *data = reach(u[2], length);
        if (u[0] != DISK || offset >= capacity || length > capacity - offset) {
            result[8] = 2;
            break;
        }
        ssize_t done = number == 4 ? pwrite(image, data, length, offset) : pread(image, data, length, offset);
        if (done != (ssize_t)length)
            fail("the disk: %s", done < 0 ? strerror(errno) : "less than asked for");
        result[8] = 0;
        break;
    }
    case 6:
        result[6] = u[0] == NET ? 0 : 2;
        if (u[0] == NET && write(tap, reach(u[1], u[2]), u[2]) != (ssize_t)u[2])
            fail("the network: %s", strerror(errno));
        break;
    case 7: {
        if (u[0] != NET) {
            result[6] = 2;
            break;
        }
        ssize_t length = read(tap, reach(u[1], u[2]), u[2]);
        if (length <= 0 && errno != EAGAIN)
            fail("the network: %s", strerror(errno));
        result[6] = length <= 0;
        if (length > 0)
            u[2] = length;
        break;
    }
    case 8:
        printf("tender: the guest halted with %d\n", result[2]);
        fflush(stdout);
        exit(result[2]);
    default:
        fail("a call of no number");
    }
}

/* The machine */

static int checked(int result, const char *what)
{
    if (result < 0)
        fail("%s: %s", what, strerror(errno));
    return result;
}

static void page_tables(void)
{
    uint64_t *pml4 = (void *)(memory + 0x2000), *pdpt = (void *)(memory + 0x3000), *pd = (void *)(memory + 0x4000),
             *pt = (void *)(memory + 0x8000);
    pml4[0] = 0x3003;
    pdpt[0] = 0x4003;
    pd[0] = 0x8003;
    for (uint64_t i = 1; i < 512 && i << 21 < memory_size; i++)
        pd[i] = i << 21 | 0x83;
    for (uint64_t i = INFO / PAGE; i < 512; i++)
        pt[i] = i * PAGE | (i < GUEST_MIN / PAGE ? 1 : 3);
}

static void fill_info(uint64_t rate, int count, char **words)
{
    uint64_t *info = (void *)(memory + INFO);
    uint64_t of_manifest = INFO + 56, length = 8 + manifest.entries * sizeof(struct entry), line = of_manifest + length;
    memcpy(memory + of_manifest, &manifest, length);
    char *to = (char *)memory + line;
    for (int i = 0; i < count; i++)
        to = stpcpy(i ? stpcpy(to, " ") : to, words[i]);
    uint64_t words_of_info[] = {memory_size, kernel_end, rate, line, of_manifest};
    memcpy(info, words_of_info, sizeof words_of_info);
}

static struct kvm_segment segment(uint16_t selector, int type, int code)
{
    return (struct kvm_segment){.selector = selector, .type = type, .present = 1, .s = 1, .g = 1, .limit = ~0u,
                                .l = code, .db = !code};
}

static int start(int count, char **words)
{
    int kvm = checked(open("/dev/kvm", O_RDWR), "/dev/kvm");
    int machine = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    struct kvm_userspace_memory_region region = {.memory_size = memory_size, .userspace_addr = (uintptr_t)memory};
    checked(ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region), "memory");
    int cpu = checked(ioctl(machine, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    static struct {
        struct kvm_cpuid2 head;
        struct kvm_cpuid_entry2 entries[256];
    } cpuid = {.head.nent = 256};
    checked(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid), "CPUID");
    checked(ioctl(cpu, KVM_SET_CPUID2, &cpuid), "CPUID");
    int rate = checked(ioctl(cpu, KVM_GET_TSC_KHZ, 0), "the counter's rate");
    fill_info(rate * 1000ull, count, words);
    page_tables();

    struct kvm_sregs special;
    checked(ioctl(cpu, KVM_GET_SREGS, &special), "registers");
    special.cs = segment(0x08, 0xb, 1);
    special.ss = special.ds = special.es = special.fs = special.gs = segment(0x10, 3, 0);
    special.gdt = (struct kvm_dtable){.base = 0x1000, .limit = 0x17};
    special.idt = (struct kvm_dtable){0};
    special.cr0 = 0x80010031;
    special.cr3 = 0x2000;
    special.cr4 = 0x620;
    special.efer = 0x500;
    checked(ioctl(cpu, KVM_SET_SREGS, &special), "registers");
    struct kvm_regs registers = {.rip = entry_point, .rsp = memory_size - 8, .rdi = INFO, .rflags = 2};
    checked(ioctl(cpu, KVM_SET_REGS, &registers), "registers");
    int size = checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM");
    run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
    if (run == MAP_FAILED)
        fail("KVM's page: %s", strerror(errno));
    return cpu;
}

int main(int count, char **words)
{
    const char *interface = NULL, *path = NULL;
    int check = 0, at = 1;
    memory_size = 512;
    for (; at < count && words[at][0] == '-'; at++) {
        if (!strncmp(words[at], "--mem=", 6))
            memory_size = atoi(words[at] + 6);
        else if (!strncmp(words[at], "--net:service=", 14))
            interface = words[at] + 14;
        else if (!strncmp(words[at], "--block:storage=", 16))
            path = words[at] + 16;
        else if (!strcmp(words[at], "--check"))
            check = 1;
        else
            fail("%s is unknown", words[at]);
    }
    if (at == count || memory_size < 2 || memory_size > 1024)
        fail("what is to be run, in how much memory?");
    memory_size = (memory_size & ~1ull) << 20;
    memory = mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        fail("memory: %s", strerror(errno));
    load(words[at]);
    if (check)
        return 0;
    attach(interface, path);
    int cpu = start(count - at - 1, words + at + 1);
    for (;;) {
        if (ioctl(cpu, KVM_RUN, 0) < 0) {
            if (errno == EINTR)
                continue;
            fail("the guest reached what it may not: %s", strerror(errno));
        }
        if (run->exit_reason != KVM_EXIT_IO)
            fail("unhandled exit %u", run->exit_reason);
        if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 4 || run->io.port < 0x501 || run->io.port > 0x508)
            fail("an access to port %#x", run->io.port);
        call(run->io.port - 0x500, *(uint32_t *)((uintptr_t)run + run->io.data_offset));
    }
}
